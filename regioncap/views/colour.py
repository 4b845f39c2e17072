"""Colours as people see them: OKLab."""

from __future__ import annotations

import numpy as np
from numpy.typing import NDArray

_LMS_FROM_RGB = np.array(
    [
        [0.4122214708, 0.5363325363, 0.0514459929],
        [0.2119034982, 0.6806995451, 0.1073969566],
        [0.0883024619, 0.2817188376, 0.6299787005],
    ]
)


_LAB_FROM_LMS = np.array(
    [
        [0.2104542553, 0.7936177850, -0.0040720468],
        [1.9779984951, -2.4285922050, 0.4505937099],
        [0.0259040371, 0.7827717662, -0.8086757660],
    ]
)


def oklab_from_srgb(rgb: NDArray[np.uint8]) -> NDArray[np.float64]:
    """Converts sRGB of shape (..., 3), 0 to 255, to OKLab: L from 0 to 1, a and b around 0."""
    value = rgb / 255.0
    linear = np.where(value <= 0.04045, value / 12.92, ((value + 0.055) / 1.055) ** 2.4)
    return np.asarray(np.cbrt(linear @ _LMS_FROM_RGB.T) @ _LAB_FROM_LMS.T)
