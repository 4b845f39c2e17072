"""Everyday names of colours: from sRGB pixels to words, by way of a perceptual space.

The space is OKLab (B. Ottosson, "A perceptual color space for image processing", 2020) in its
polar form: lightness 0 to 1, chroma 0 to about 0.32, hue in degrees (red 29, orange 70, yellow
110, green 142, blue 264, magenta 328). Unlike CIELAB it keeps the hue of blues as they darken or
pale, which naming needs. The names are those that people use without thinking; the borders
between them were set by looking at photographs.
"""

from __future__ import annotations

import csv
from collections.abc import Iterator
from functools import cache
from importlib import resources
from typing import NamedTuple

import numpy as np
from numpy.typing import NDArray

from regioncap.views.colour import oklab_from_srgb

#: A colour is named by the cell of 8 x 8 x 8 sRGB values that it lies in.
_LEVELS = 32


class _Row(NamedTuple):
    """A name and the colours that carry it: the first row that fits a colour names it."""

    #: From and to, in degrees; a range may pass through 0.
    hue_from: float
    hue_to: float
    #: Only darker than this; 2 is above every lightness and chroma.
    lightness_below: float
    #: Only duller than this.
    chroma_below: float
    name: str
    #: What the name is a shade of.
    family: str


def _read_rows() -> Iterator[_Row]:
    text = resources.files(__package__).joinpath("colours.csv").read_text("utf-8")
    for *bounds, name, family in csv.reader(text.splitlines()[1:]):
        hue_from, hue_to, lightness, chroma = map(float, bounds)
        yield _Row(hue_from, hue_to, lightness, chroma, name, family)


_ROWS = tuple(_read_rows())

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
        _within(hue, row.hue_from, row.hue_to)
        & (lightness < row.lightness_below)
        & (chroma < row.chroma_below)
        for row in _ROWS
    ]
    numbers = [NAMES.index(row.name) for row in _ROWS]
    return np.select(fits, numbers).astype(np.uint8)


def _within(hue: NDArray[np.float64], low: float, high: float) -> NDArray[np.bool_]:
    if low < high:
        return (hue >= low) & (hue < high)
    return (hue >= low) | (hue < high)
