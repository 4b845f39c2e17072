"""Crops: one region cut out of its picture with what lies around it, and enlarged; pure.

A whole picture at the size that a model sees leaves few pixels to a small region, and captions of
it suffer; a crop with some context gives them back (Lian et al., "Describe Anything", arXiv
2504.16072). Nothing is drawn on a crop: it stands out by lying in the middle.
"""

from __future__ import annotations

import numpy as np
from numpy.typing import NDArray
from PIL import Image

from regioncap.views.boxes import Box, Rect, Size, pixel_rect, rect_around, scale_xyxy
from regioncap.views.pixels import size_of
from regioncap.views.sizes import CELL_PX, fit_size

#: The crop is this many times as wide and high as the region.
CONTEXT = 1.5
#: And at least this wide and high, in pixels of the source: of less, nobody can tell anything.
MIN_SIDE_PX = 48
#: And at most this many times as long as wide, where the picture allows.
MAX_ASPECT = 4
#: Most pixels of an enlarged crop: 640 tokens of Qwen2.5-VL, half of a whole picture's default.
MAX_PIXELS = 501_760


def window(box_xyxy: Box, size_wh: Size) -> Rect:
    """The part of a picture that shows a region and what is around it.

    Args:
        box_xyxy: The region, pixels of the picture.
        size_wh: Size of the picture.

    Returns:
        Whole pixels inside the picture, around the region; off its middle only at the border.
    """
    x1, y1, x2, y2 = rect_around(box_xyxy, size_wh)
    wide, high = ((side * CONTEXT) for side in (x2 - x1, y2 - y1))
    least = max(MIN_SIDE_PX, max(wide, high) / MAX_ASPECT)
    left, right = _span(x1, x2, max(wide, least), size_wh[0])
    top, bottom = _span(y1, y2, max(high, least), size_wh[1])
    return left, top, right, bottom


def _span(low: int, high: int, wanted: float, length: int) -> tuple[int, int]:
    """A stretch of the wanted length around another, moved to lie between 0 and `length`."""
    span = min(max(round(wanted), high - low), length)
    start = min(max((low + high - span) // 2, 0), length - span)
    return start, start + span


def cut(
    source: NDArray[np.uint8], box_xyxy: Box, max_pixels: int, cell_px: int = CELL_PX
) -> tuple[Image.Image, Rect]:
    """Cuts a region out and enlarges it to a size that the model sees as it is.

    Args:
        source: The whole picture without marks, (height, width, 3), RGB, as large as there is.
        box_xyxy: The region, pixels of that picture.
        max_pixels: What the model sees of a picture at most.
        cell_px: Side of the square behind one of the model's tokens, pixels.

    Returns:
        The crop, and where the region lies in it.
    """
    left, top, right, bottom = window(box_xyxy, size_of(source))
    part = Image.fromarray(source[top:bottom, left:right])
    # By Pillow: caption workers cut crops too, and may have no OpenCV.
    size_wh = fit_size(part.size, min(max_pixels, MAX_PIXELS), cell_px)
    crop = part.resize(size_wh, Image.Resampling.BICUBIC, reducing_gap=2.0)
    x1, y1, x2, y2 = box_xyxy
    inside = (x1 - left, y1 - top, x2 - left, y2 - top)
    return crop, pixel_rect(scale_xyxy(inside, part.size, crop.size), crop.size)
