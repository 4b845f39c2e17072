"""The size at which a model sees a picture: the rule of the image processors of Qwen's models."""

from __future__ import annotations

import math

from regioncap.errors import RecordError
from regioncap.views.boxes import Size

#: Side of the square of pixels behind one token of Qwen2.5-VL: 2x2 patches of 14.
CELL_PX = 28
#: Smaller pictures are enlarged to about this many pixels, so that tags stay legible.
MIN_PIXELS = 448 * 448

_MAX_ASPECT = 200  # the limit of Qwen2.5-VL's own resize


def check_shape(size_wh: Size) -> None:
    """Raises RecordError for a picture that is more than 200 times as long as wide."""
    width, height = size_wh
    if max(width, height) > _MAX_ASPECT * min(width, height):
        raise RecordError(
            f"the image is {width}x{height}: more than {_MAX_ASPECT} times as long as wide",
            code="image-too-thin",
            hint="crop it",
        )


def fit_size(size_wh: Size, max_pixels: int, cell_px: int = CELL_PX) -> Size:
    """The size at which the model sees a picture: sides multiples of a cell inside the budget.

    The same rounding as `smart_resize` of the image processor of Qwen2-VL and those after it, so
    that a picture of this size is not resized again.

    Args:
        size_wh: Size of the picture, pixels.
        max_pixels: Most pixels that the model sees.
        cell_px: Side of the square behind one token, pixels.

    Raises:
        RecordError: It is more than 200 times as long as wide.
    """
    check_shape(size_wh)
    width, height = size_wh
    fitted_w, fitted_h = (max(cell_px, round(side / cell_px) * cell_px) for side in size_wh)
    min_pixels = min(MIN_PIXELS, max_pixels)
    if fitted_w * fitted_h > max_pixels:
        shrink = math.sqrt(width * height / max_pixels)
        return _floor(width / shrink, cell_px), _floor(height / shrink, cell_px)
    if fitted_w * fitted_h < min_pixels:
        grow = math.sqrt(min_pixels / (width * height))
        fitted_w, fitted_h = _ceil(width * grow, cell_px), _ceil(height * grow, cell_px)
        if fitted_w * fitted_h > max_pixels:  # where the budget is hardly more than the least
            return _floor(width * grow, cell_px), _floor(height * grow, cell_px)
    return fitted_w, fitted_h


def _floor(side: float, cell_px: int) -> int:
    return max(cell_px, math.floor(side / cell_px) * cell_px)


def _ceil(side: float, cell_px: int) -> int:
    return math.ceil(side / cell_px) * cell_px
