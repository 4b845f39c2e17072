"""Boxes around outlines: the reference's method, as the floor to compare with.

What is darker than its surroundings is closed to blobs, and what their outlines enclose is
boxed. The steps and limits are those of DataFlow-MM's `ImageBboxGenerator`, done without OpenCV
on a picture of at most 640 pixels a side.
"""

from __future__ import annotations

import numpy as np
from numpy.typing import NDArray
from PIL import Image, ImageFilter

from regioncap.views.boxes import Box
from regioncap.views.proposals.components import blobs

_WORK_SIDE = 640
#: OpenCV's sigma for its kernels of 5 and of 11 pixels.
_DENOISE_SIGMA, _WINDOW_SIGMA = 1.1, 2.0
#: How much darker than the mean around it a pixel must be, of 255.
_DARKER = 2


def contour_boxes(image: Image.Image) -> tuple[list[Box], list[float]]:
    """Boxes (left, top, right, bottom) as fractions of the sides, and scores: larger is better."""
    work = image.convert("L")
    work.thumbnail((_WORK_SIDE, _WORK_SIDE), reducing_gap=2.0)
    found = blobs(_close(_dark(work)))
    size = np.array([*work.size, *work.size])
    sides = found.boxes_xyxy[:, 2:] - found.boxes_xyxy[:, :2]
    area_share = found.areas / (work.width * work.height)
    aspect = sides[:, 0] / sides[:, 1]
    fits = (area_share >= 0.01) & (area_share <= 0.8) & (aspect >= 0.1) & (aspect <= 5)
    fits &= (sides <= 0.9 * size[:2]).all(axis=1)
    boxes = (found.boxes_xyxy[fits] / size).tolist()
    return [tuple(box) for box in boxes], sides[fits].prod(axis=1).astype(float).tolist()


def _dark(grey: Image.Image) -> NDArray[np.bool_]:
    """Adaptive Gaussian threshold: true where a pixel is darker than the mean around it."""
    smooth = grey.filter(ImageFilter.GaussianBlur(_DENOISE_SIGMA))
    mean = smooth.filter(ImageFilter.GaussianBlur(_WINDOW_SIGMA))
    return np.asarray(smooth, dtype=np.int16) <= np.asarray(mean, dtype=np.int16) - _DARKER


def _close(mask: NDArray[np.bool_]) -> NDArray[np.bool_]:
    """Morphological closing with a square of 8 x 8 pixels."""
    wide = np.pad(mask, 8)
    return ~_grow(~_grow(wide)[::-1, ::-1])[::-1, ::-1][8:-8, 8:-8]


def _grow(mask: NDArray[np.bool_]) -> NDArray[np.bool_]:
    """Dilates by 8 x 8 pixels to the right and down, doubling three times."""
    grown = mask.copy()
    for step in (1, 2, 4):
        grown[step:] |= grown[:-step].copy()
        grown[:, step:] |= grown[:, :-step].copy()
    return grown
