"""Box geometry: pure functions on boxes, no I/O.

Conventions: `xywh` is (left, top, width, height), `xyxy` is (left, top, right, bottom), both in
pixels with the origin at the top left and right and bottom exclusive; `size_wh` is
(width, height) in pixels. Boxes are xyxy everywhere but in what users write and read.
"""

from __future__ import annotations

import math
from collections.abc import Callable, Sequence

Box = tuple[float, float, float, float]
#: A box in whole pixels, xyxy.
Rect = tuple[int, int, int, int]
Size = tuple[int, int]

#: Of a pixel: what arithmetic leaves where a whole number is meant.
_ROUNDING_ERROR = 1e-6


def xyxy_from_xywh(box_xywh: Box) -> Box:
    """Converts (x, y, w, h) to (x1, y1, x2, y2), same units."""
    x, y, w, h = box_xywh
    return x, y, x + w, y + h


def xywh_from_xyxy(box_xyxy: Box) -> Box:
    """Converts (x1, y1, x2, y2) to (x, y, w, h), same units."""
    x1, y1, x2, y2 = box_xyxy
    return x1, y1, x2 - x1, y2 - y1


def clip_xyxy(box_xyxy: Box, size_wh: Size) -> Box:
    """Cuts a box to the picture; what lies outside collapses to an edge with no area."""
    x1, y1, x2, y2 = (
        min(max(end, 0.0), length) for end, length in zip(box_xyxy, 2 * size_wh, strict=True)
    )
    return x1, y1, x2, y2


def area_xyxy(box_xyxy: Box) -> float:
    """Area in square pixels; 0 for a box that is inside out."""
    x1, y1, x2, y2 = box_xyxy
    return max(0.0, x2 - x1) * max(0.0, y2 - y1)


def intersection_xyxy(a_xyxy: Box, b_xyxy: Box) -> float:
    """Area that two boxes share, in square pixels."""
    ax1, ay1, ax2, ay2 = a_xyxy
    bx1, by1, bx2, by2 = b_xyxy
    return area_xyxy((max(ax1, bx1), max(ay1, by1), min(ax2, bx2), min(ay2, by2)))


def iou_xyxy(a_xyxy: Box, b_xyxy: Box) -> float:
    """Intersection over union, 0 to 1."""
    shared = intersection_xyxy(a_xyxy, b_xyxy)
    union = area_xyxy(a_xyxy) + area_xyxy(b_xyxy) - shared
    return shared / union if union > 0 else 0.0


def scale_xyxy(box_xyxy: Box, from_wh: Size, to_wh: Size) -> Box:
    """Carries a box from a picture of one size to the same picture at another size."""
    fx, fy = to_wh[0] / from_wh[0], to_wh[1] / from_wh[1]
    x1, y1, x2, y2 = box_xyxy
    return x1 * fx, y1 * fy, x2 * fx, y2 * fy


def pixel_rect(box_xyxy: Box, size_wh: Size) -> Rect:
    """A box in whole pixels: inside the picture, and at least 1 by 1.

    It begins in the pixel that its left upper corner lies in, and ends at the edge of a pixel that
    is nearest to its right lower one. Marks are drawn around these pixels, and kept captions are
    found by them: another rounding would draw and caption everything anew.
    """
    return _in_pixels(box_xyxy, size_wh, round)


def rect_around(box_xyxy: Box, size_wh: Size) -> Rect:
    """All pixels that a box touches: inside the picture, and at least 1 by 1."""
    return _in_pixels(box_xyxy, size_wh, lambda end: math.ceil(end - _ROUNDING_ERROR))


def _in_pixels(box_xyxy: Box, size_wh: Size, whole: Callable[[float], int]) -> Rect:
    left, top = (
        min(max(math.floor(start + _ROUNDING_ERROR), 0), length - 1)
        for start, length in zip(box_xyxy[:2], size_wh, strict=True)
    )
    right, bottom = (
        min(max(whole(end), start + 1), length)
        for start, end, length in zip((left, top), box_xyxy[2:], size_wh, strict=True)
    )
    return left, top, right, bottom


def normalize_xyxy(box_xyxy: Box, size_wh: Size) -> list[float]:
    """Fractions of width and height, rounded to 3 decimals as the reference does."""
    return [round(end / length, 3) for end, length in zip(box_xyxy, 2 * size_wh, strict=True)]


def nms_xyxy(boxes_xyxy: Sequence[Box], scores: Sequence[float], iou_limit: float) -> list[int]:
    """Greedy non-maximum suppression.

    Args:
        boxes_xyxy: N boxes.
        scores: N scores; higher is kept first, ties by position.
        iou_limit: A box that overlaps a kept one by more than this is dropped.

    Returns:
        Positions of the kept boxes, best first.
    """
    order = sorted(range(len(boxes_xyxy)), key=lambda i: (-scores[i], i))
    kept: list[int] = []
    for i in order:
        if all(iou_xyxy(boxes_xyxy[i], boxes_xyxy[k]) <= iou_limit for k in kept):
            kept.append(i)
    return kept
