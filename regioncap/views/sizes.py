"""The size at which the model sees a picture: the rule of Qwen2.5-VL's image processor."""

from __future__ import annotations

import math

from regioncap.errors import RecordError
from regioncap.views.boxes import Size

#: Side of the square of pixels behind one token of Qwen2.5-VL: 2x2 patches of 14.
PATCH = 28
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


def fit_size(size_wh: Size, max_pixels: int) -> Size:
    """The size at which the model sees a picture: sides multiples of 28 inside the budget.

    The same rounding as `smart_resize` of Qwen2.5-VL's image processor, so that a picture of this
    size is not resized again.

    Raises:
        RecordError: It is more than 200 times as long as wide.
    """
    check_shape(size_wh)
    width, height = size_wh
    fitted_w, fitted_h = (max(PATCH, round(side / PATCH) * PATCH) for side in size_wh)
    min_pixels = min(MIN_PIXELS, max_pixels)
    if fitted_w * fitted_h > max_pixels:
        shrink = math.sqrt(width * height / max_pixels)
        return _floor_patch(width / shrink), _floor_patch(height / shrink)
    if fitted_w * fitted_h < min_pixels:
        grow = math.sqrt(min_pixels / (width * height))
        fitted_w, fitted_h = _ceil_patch(width * grow), _ceil_patch(height * grow)
        if fitted_w * fitted_h > max_pixels:  # where the budget is hardly more than the least
            return _floor_patch(width * grow), _floor_patch(height * grow)
    return fitted_w, fitted_h


def _floor_patch(side: float) -> int:
    return max(PATCH, math.floor(side / PATCH) * PATCH)


def _ceil_patch(side: float) -> int:
    return math.ceil(side / PATCH) * PATCH
