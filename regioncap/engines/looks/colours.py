"""Everyday names of colours: from sRGB pixels to words, by way of a perceptual space.

The space is OKLab (B. Ottosson, "A perceptual color space for image processing", 2020) in its
polar form: lightness 0 to 1, chroma 0 to about 0.32, hue in degrees (red 29, orange 70, yellow
110, green 142, blue 264, magenta 328). Unlike CIELAB it keeps the hue of blues as they darken or
pale, which naming needs. The names are those that people use without thinking; the borders
between them were set by looking at photographs.
"""

from __future__ import annotations

from functools import cache
from typing import NamedTuple

import numpy as np
from numpy.typing import NDArray

from regioncap.views.colour import oklab_from_srgb

#: A colour is named by the cell of 8 x 8 x 8 sRGB values that it lies in.
_LEVELS = 32


class _Row(NamedTuple):
    """A name and the colours that carry it: the first row that fits a colour names it."""

    #: From and to, in degrees; a range may pass through 0.
    hue: tuple[float, float]
    #: Only darker than this.
    lightness_below: float
    #: Only duller than this.
    chroma_below: float
    name: str
    #: What the name is a shade of.
    family: str


_ANY = (0, 360)
_REDS, _WARM, _YELLOWS = (14, 35), (35, 85), (85, 113)
_GREENS, _TEALS, _BLUES = (113, 168), (168, 215), (215, 286)
_PURPLES, _PINKS = (286, 340), (340, 14)
_TOP = 2.0  # above every lightness and chroma

_ROWS = (
    _Row(_ANY, 0.13, _TOP, "black", "black"),
    _Row(_ANY, 0.24, 0.030, "black", "black"),
    _Row(_ANY, 0.47, 0.018, "dark grey", "grey"),
    _Row(_ANY, 0.72, 0.018, "grey", "grey"),
    _Row(_ANY, 0.92, 0.018, "light grey", "grey"),
    _Row(_ANY, _TOP, 0.016, "white", "white"),
    _Row((286, 30), 0.47, 0.025, "dark grey", "grey"),
    _Row((286, 30), 0.72, 0.030, "grey", "grey"),
    _Row((286, 30), 0.92, 0.030, "light grey", "grey"),
    _Row(_REDS, 0.38, 0.080, "dark brown", "brown"),
    _Row(_REDS, 0.62, 0.080, "brown", "brown"),
    _Row(_REDS, _TOP, 0.080, "pink", "pink"),
    _Row(_REDS, 0.47, _TOP, "dark red", "red"),
    _Row(_REDS, 0.70, _TOP, "red", "red"),
    _Row(_REDS, _TOP, _TOP, "pink", "pink"),
    _Row(_WARM, 0.42, _TOP, "dark brown", "brown"),
    _Row((30, 44), 0.56, 0.090, "brown", "brown"),
    _Row((30, 44), 0.56, 0.170, "reddish brown", "brown"),
    _Row(_WARM, 0.58, 0.145, "brown", "brown"),
    _Row((46, 54), 0.65, 0.160, "brown", "brown"),
    _Row(_WARM, 0.70, 0.130, "light brown", "brown"),
    _Row(_WARM, 0.79, 0.050, "beige", "beige"),
    _Row(_WARM, 0.85, 0.105, "tan", "brown"),
    _Row(_WARM, 0.89, 0.075, "beige", "beige"),
    _Row(_WARM, _TOP, 0.085, "cream", "cream"),
    _Row(_WARM, _TOP, _TOP, "orange", "orange"),
    _Row(_YELLOWS, 0.37, _TOP, "dark olive", "olive"),
    _Row(_YELLOWS, 0.67, _TOP, "olive", "olive"),
    _Row(_YELLOWS, 0.89, 0.080, "beige", "beige"),
    _Row(_YELLOWS, _TOP, 0.080, "cream", "cream"),
    _Row(_YELLOWS, 0.80, _TOP, "dark yellow", "yellow"),
    _Row(_YELLOWS, _TOP, 0.130, "light yellow", "yellow"),
    _Row(_YELLOWS, _TOP, _TOP, "yellow", "yellow"),
    _Row(_GREENS, 0.46, _TOP, "dark green", "green"),
    _Row(_GREENS, 0.78, _TOP, "green", "green"),
    _Row(_GREENS, _TOP, 0.200, "light green", "green"),
    _Row(_GREENS, _TOP, _TOP, "bright green", "green"),
    _Row(_TEALS, 0.40, _TOP, "dark teal", "teal"),
    _Row(_TEALS, 0.70, _TOP, "teal", "teal"),
    _Row(_TEALS, _TOP, 0.060, "light blue", "blue"),
    _Row((168, 190), _TOP, _TOP, "turquoise", "teal"),
    _Row(_TEALS, _TOP, _TOP, "cyan", "teal"),
    _Row(_BLUES, 0.40, 0.035, "dark grey", "grey"),
    _Row(_BLUES, 0.36, _TOP, "dark blue", "blue"),
    _Row(_BLUES, 0.75, 0.045, "blue-grey", "grey"),
    _Row(_BLUES, 0.70, _TOP, "blue", "blue"),
    _Row(_BLUES, _TOP, _TOP, "light blue", "blue"),
    _Row(_PURPLES, 0.36, _TOP, "dark purple", "purple"),
    _Row((318, 340), 0.75, 0.220, "purple", "purple"),
    _Row((318, 340), 0.78, _TOP, "magenta", "pink"),
    _Row(_PURPLES, 0.70, _TOP, "purple", "purple"),
    _Row(_PURPLES, _TOP, _TOP, "light purple", "purple"),
    _Row((340, 4), 0.40, _TOP, "dark purple", "purple"),
    _Row(_PINKS, 0.40, _TOP, "dark red", "red"),
    _Row(_PINKS, 0.60, _TOP, "dark pink", "pink"),
    _Row(_PINKS, _TOP, _TOP, "pink", "pink"),
)

#: Every name, in the order of their numbers.
NAMES: tuple[str, ...] = tuple(dict.fromkeys(row.name for row in _ROWS))
#: Every family, in the order of their numbers.
FAMILIES: tuple[str, ...] = tuple(dict.fromkeys(row.family for row in _ROWS))

_FAMILY_OF = {row.name: row.family for row in _ROWS}
#: Families that catch the eye even where they cover little.
VIVID = frozenset({"red", "orange", "yellow", "green", "teal", "blue", "purple", "pink"})
#: The number of the family of each name.
FAMILY_OF_NAME: NDArray[np.intp] = np.array([FAMILIES.index(_FAMILY_OF[name]) for name in NAMES])


def name_numbers(rgb: NDArray[np.uint8]) -> NDArray[np.uint8]:
    """Names pixels.

    Args:
        rgb: sRGB of shape (..., 3).

    Returns:
        Shape (...): positions in `NAMES`.
    """
    red, green, blue = np.moveaxis(rgb >> 3, -1, 0).astype(np.intp)
    return np.asarray(_cells()[(red * _LEVELS + green) * _LEVELS + blue])


@cache
def _cells() -> NDArray[np.uint8]:
    """The number of the name of each of the 32 x 32 x 32 cells, by red, green, blue."""
    axis = np.round(np.linspace(0, 255, _LEVELS)).astype(np.uint8)
    rgb = np.stack(np.meshgrid(axis, axis, axis, indexing="ij"), axis=-1).reshape(-1, 3)
    lightness, a, b = oklab_from_srgb(rgb).T
    chroma, hue = np.hypot(a, b), np.degrees(np.arctan2(b, a)) % 360
    fits = [
        _within(hue, row.hue) & (lightness < row.lightness_below) & (chroma < row.chroma_below)
        for row in _ROWS
    ]
    numbers = [NAMES.index(row.name) for row in _ROWS]
    return np.select(fits, numbers).astype(np.uint8)


def _within(hue: NDArray[np.float64], bounds: tuple[float, float]) -> NDArray[np.bool_]:
    low, high = bounds
    if low < high:
        return (hue >= low) & (hue < high)
    return (hue >= low) | (hue < high)
