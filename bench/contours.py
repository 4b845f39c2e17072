"""Boxes around outlines: the reference's method, as the floor to compare proposals with.

What is darker than its surroundings is closed to blobs, and what their outlines enclose is boxed.
The steps and limits are those of DataFlow-MM's `ImageBboxGenerator`, on a picture of at most 640
pixels a side.
"""

from __future__ import annotations

import cv2
import numpy as np
from PIL import Image

from regioncap.views.boxes import Box, area_xyxy, nms_xyxy

_WORK_SIDE = 640
_IOU_LIMIT = 0.3


def contour_boxes(image: Image.Image, max_boxes: int) -> list[Box]:
    """The largest boxes (left, top, right, bottom) as fractions of the sides."""
    work = image.convert("L")
    work.thumbnail((_WORK_SIDE, _WORK_SIDE), reducing_gap=2.0)
    smooth = cv2.GaussianBlur(np.asarray(work), (5, 5), 0)
    how = cv2.ADAPTIVE_THRESH_GAUSSIAN_C, cv2.THRESH_BINARY_INV
    dark = cv2.adaptiveThreshold(smooth, 255, *how, 11, 2)
    closed = cv2.morphologyEx(dark, cv2.MORPH_CLOSE, np.ones((8, 8), np.uint8))
    outlines, _ = cv2.findContours(closed, cv2.RETR_LIST, cv2.CHAIN_APPROX_SIMPLE)
    boxes = [_box(outline, work.size) for outline in outlines if _fits(outline, work.size)]
    return [boxes[i] for i in nms_xyxy(boxes, [area_xyxy(box) for box in boxes], _IOU_LIMIT)][
        :max_boxes
    ]


def _fits(outline: cv2.typing.MatLike, size_wh: tuple[int, int]) -> bool:
    _, _, w, h = cv2.boundingRect(outline)
    share = cv2.contourArea(outline) / (size_wh[0] * size_wh[1])
    within = w <= 0.9 * size_wh[0] and h <= 0.9 * size_wh[1]
    return bool(0.01 <= share <= 0.8 and 0.1 <= w / h <= 5 and within)


def _box(outline: cv2.typing.MatLike, size_wh: tuple[int, int]) -> Box:
    x, y, w, h = cv2.boundingRect(outline)
    return x / size_wh[0], y / size_wh[1], (x + w) / size_wh[0], (y + h) / size_wh[1]
