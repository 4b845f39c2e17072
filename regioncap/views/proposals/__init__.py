"""Boxes for pictures that come without any.

A method is one function that returns boxes as fractions of the sides with a score each, and one
line here. What all methods have in common, limits, suppression and order, is done once.
"""

from __future__ import annotations

import math
from collections.abc import Callable, Sequence

from PIL import Image

from regioncap.errors import UsageError
from regioncap.views.boxes import Box, Size, nms_xyxy, xyxy_from_xywh
from regioncap.views.proposals.contours import contour_boxes
from regioncap.views.proposals.segments import segment_boxes

__all__ = ["DEFAULT", "METHODS", "propose", "reading_order"]

PixelBox = tuple[int, int, int, int]
Method = Callable[[Image.Image], tuple[list[Box], list[float]]]

METHODS: dict[str, Method] = {
    "segments": segment_boxes,
    "contours": contour_boxes,
}
DEFAULT = "segments"

#: A box that overlaps a better one by more than this is dropped, as in the reference.
_IOU_LIMIT = 0.3


def propose(image: Image.Image, max_boxes: int, method: str = DEFAULT) -> list[PixelBox]:
    """Finds what in a picture may be worth a caption.

    Args:
        image: RGB.
        max_boxes: At most so many boxes are returned, the best ones.
        method: A name in `METHODS`.

    Returns:
        Boxes (left, top, width, height) in pixels of the picture, in reading order; none of them
        is the whole picture. Nothing if nothing stands out.

    Raises:
        UsageError: There is no such method (`unknown-proposal-method`).
    """
    if method not in METHODS:
        raise UsageError(
            f"there is no proposal method {method!r}",
            code="unknown-proposal-method",
            hint=f"use one of: {', '.join(METHODS)}",
        )
    fractions, scores = METHODS[method](image)
    boxes = [_pixel_xyxy(box, image.size) for box in fractions]
    whole = (0, 0, *image.size)
    parts = [(box, score) for box, score in zip(boxes, scores, strict=True) if box != whole]
    kept = nms_xyxy([box for box, _ in parts], [score for _, score in parts], _IOU_LIMIT)
    best = [parts[i][0] for i in kept[:max_boxes]]
    return reading_order([(x1, y1, x2 - x1, y2 - y1) for x1, y1, x2, y2 in best])


def reading_order(boxes_xywh: Sequence[PixelBox]) -> list[PixelBox]:
    """Sorts boxes into rows from top to bottom, and each row from left to right.

    A row holds the boxes whose middle lies above the bottom of the row's highest box.
    """
    waiting = sorted(boxes_xywh, key=lambda box: (box[1], box[0], box))
    ordered: list[PixelBox] = []
    while waiting:
        bottom = xyxy_from_xywh(waiting[0])[3]
        row = [box for box in waiting if box[1] + box[3] / 2 < bottom]
        ordered += sorted(row)
        waiting = [box for box in waiting if box not in row]
    return ordered


def _pixel_xyxy(box: Box, size_wh: Size) -> PixelBox:
    """Fractions to pixels, outwards but for a rounding error."""
    width, height = size_wh
    x1, y1, x2, y2 = box
    return (
        math.floor(x1 * width + 1e-6),
        math.floor(y1 * height + 1e-6),
        min(math.ceil(x2 * width - 1e-6), width),
        min(math.ceil(y2 * height - 1e-6), height),
    )
