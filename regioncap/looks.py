"""How a region looks, measured from its pixels and said in one sentence.

Everything said is measured: main colours, brightness, texture, place, shape and size. Pixels
that a mark covers are left out. At most 48 x 48 pixels of a region are looked at, so that the
cost depends little on the size of the picture.
"""

from __future__ import annotations

from dataclasses import dataclass

import numpy as np
from numpy.typing import NDArray
from PIL import Image

from regioncap.colours import FAMILIES, FAMILY_OF_NAME, NAMES, name_numbers, oklab_from_srgb

#: Left, top, right, bottom in pixels, inside the picture and at least one pixel wide and high.
PixelBox = tuple[int, int, int, int]

_SAMPLES_A_SIDE = 48
_VERTICAL = ("upper", "", "lower")
_HORIZONTAL = ("left", "", "right")
#: Lightness of each of the 256 greys, 0 to 100.
_LIGHTNESS: NDArray[np.float64] = (
    oklab_from_srgb(np.repeat(np.arange(256, dtype=np.uint8)[:, None], 3, axis=1))[:, 0] * 100
)


@dataclass(frozen=True, slots=True)
class Picture:
    """A decoded picture, ready to be measured."""

    #: sRGB, shape (height, width, 3).
    rgb: NDArray[np.uint8]
    #: Luma, shape (height, width).
    grey: NDArray[np.uint8]
    #: Pixels that belong to a mark, shape (height, width); None if there are no marks.
    ink: NDArray[np.bool_] | None = None

    @classmethod
    def from_image(cls, image: Image.Image, ink: NDArray[np.bool_] | None = None) -> Picture:
        """Takes an RGB image and, if it is marked, the mask of its marks."""
        return cls(np.asarray(image), np.asarray(image.convert("L")), ink)

    @property
    def size_wh(self) -> tuple[int, int]:
        """Width and height in pixels."""
        return self.rgb.shape[1], self.rgb.shape[0]


def describe(picture: Picture, box_xyxy: PixelBox | None = None) -> str:
    """Says how a region looks, or the whole picture if no box is given.

    Returns:
        A sentence without its capital and full stop: "a bright region, mostly dark red and
        cream, with a fine texture, in the upper left, about 4 % of the picture".
    """
    box = box_xyxy or (0, 0, *picture.size_wh)
    rows, columns = _grid(box)
    seen = _unmarked(picture, rows, columns)
    noun = "region" if box_xyxy else "picture"
    adjectives = [brightness(_LIGHTNESS[picture.grey[rows, columns]][seen]), noun]
    if box_xyxy and (word := shape(box)):
        adjectives.insert(0, word)
    parts = [
        "a " + " ".join(adjectives),
        colours(name_numbers(picture.rgb[rows, columns])[seen]),
        texture(picture, rows, columns, seen),
    ]
    if box_xyxy:
        parts += [place(box, picture.size_wh), share(box, picture.size_wh)]
    return ", ".join(parts)


def brightness(lightness: NDArray[np.float64]) -> str:
    """A word for the lightness, 0 to 100, of a region's pixels."""
    darkest, lightest = np.percentile(lightness, (15, 85))
    if darkest < 42 and lightest > 78:
        return "high-contrast"
    bounds = ((28, "very dark"), (47, "dark"), (67, "medium-bright"), (88, "bright"))
    mean = float(lightness.mean())
    return next((word for bound, word in bounds if mean < bound), "very bright")


def colours(numbers: NDArray[np.uint8]) -> str:
    """The one or two main colours of pixels named by `colours.name_numbers`, shape (n,).

    If no two names cover more than half of the pixels, their families are tried ("shades of
    brown"); a region that has no main family either is said to be of many colours.
    """
    names = np.bincount(numbers, minlength=len(NAMES)) / numbers.size
    first, second = (int(i) for i in np.argsort(-names, kind="stable")[:2])
    if names[first] >= 0.6 or (names[first] >= 0.5 and names[second] < 0.2):
        return f"mostly {NAMES[first]}"
    if names[first] + names[second] >= 0.55 and names[second] >= 0.15:
        return f"mostly {NAMES[first]} and {NAMES[second]}"
    families = np.bincount(FAMILY_OF_NAME, weights=names, minlength=len(FAMILIES))
    first, second = (int(i) for i in np.argsort(-families, kind="stable")[:2])
    if families[first] >= 0.55:
        return f"mostly shades of {FAMILIES[first]}"
    if families[first] + families[second] >= 0.55:
        return f"mostly shades of {FAMILIES[first]} and {FAMILIES[second]}"
    return f"in many colours, among them {FAMILIES[first]} and {FAMILIES[second]}"


def texture(
    picture: Picture,
    rows: NDArray[np.intp],
    columns: NDArray[np.intp],
    seen: NDArray[np.bool_],
) -> str:
    """A phrase for how the lightness changes between near pixels of a grid.

    Args:
        picture: What is looked at.
        rows: Shape (r, 1).
        columns: Shape (1, c).
        seen: Shape (r, c): the pixels that count.
    """
    near = _change(picture, rows, columns, seen, 1)
    far = _change(picture, rows, columns, seen, max(4, round(max(picture.size_wh) / 80)))
    busy = float((far > 6).mean())
    fine, coarse = float(near.mean()), float(far.mean())
    if busy < 0.12:
        return "with a smooth surface"
    if busy < 0.35:
        return "with a mostly smooth surface"
    if coarse > 14:
        return "with a strong pattern"
    return "with a fine texture" if fine > 0.5 * coarse else "with a coarse texture"


def shape(box_xyxy: PixelBox) -> str:
    """`tall` or `wide` for a box at least twice as long as it is broad, else nothing."""
    width, height = box_xyxy[2] - box_xyxy[0], box_xyxy[3] - box_xyxy[1]
    if height >= 2 * width:
        return "tall"
    return "wide" if width >= 2 * height else ""


def place(box_xyxy: PixelBox, size_wh: tuple[int, int]) -> str:
    """A phrase for where a box lies, by its centre and by what it spans."""
    x1, y1, x2, y2 = box_xyxy
    width, height = size_wh
    spans_x, spans_y = (x2 - x1) > 0.75 * width, (y2 - y1) > 0.75 * height
    vertical = _VERTICAL[min(2, 3 * (y1 + y2) // (2 * height))]
    horizontal = _HORIZONTAL[min(2, 3 * (x1 + x2) // (2 * width))]
    if spans_x and spans_y:
        return "over nearly the whole picture"
    if spans_x:
        return "across " + {"upper": "the top", "": "the middle", "lower": "the bottom"}[vertical]
    if spans_y:
        return "down " + {"left": "the left side", "": "the middle"}.get(
            horizontal, "the right side"
        )
    if vertical and horizontal:
        return f"in the {vertical} {horizontal}"
    if vertical:
        return "at the top" if vertical == "upper" else "at the bottom"
    return f"on the {horizontal}" if horizontal else "in the centre"


def share(box_xyxy: PixelBox, size_wh: tuple[int, int]) -> str:
    """A phrase for the area of a box: to 1 % if small, to 5 % if large."""
    x1, y1, x2, y2 = box_xyxy
    percent = 100 * (x2 - x1) * (y2 - y1) / (size_wh[0] * size_wh[1])
    if percent < 0.5:
        return "less than 1 % of the picture"
    if percent == 100:
        return "all of the picture"
    rounded = round(percent) if percent < 20 else min(95, 5 * round(percent / 5))
    return f"about {rounded} % of the picture"


def _grid(box_xyxy: PixelBox) -> tuple[NDArray[np.intp], NDArray[np.intp]]:
    """Rows, shape (r, 1), and columns, shape (1, c), of evenly spread pixels of a box."""
    x1, y1, x2, y2 = box_xyxy
    return _spread(y1, y2)[:, None], _spread(x1, x2)[None, :]


def _spread(start: int, stop: int) -> NDArray[np.intp]:
    count = min(stop - start, _SAMPLES_A_SIDE)
    return start + (2 * np.arange(count) + 1) * (stop - start) // (2 * count)


def _unmarked(
    picture: Picture, rows: NDArray[np.intp], columns: NDArray[np.intp]
) -> NDArray[np.bool_]:
    """Which pixels of a grid no mark covers; all of them if marks cover everything."""
    if picture.ink is not None:
        seen = ~picture.ink[rows, columns]
        if seen.any():
            return seen
    return np.ones((rows.size, columns.size), dtype=np.bool_)


def _change(
    picture: Picture,
    rows: NDArray[np.intp],
    columns: NDArray[np.intp],
    seen: NDArray[np.bool_],
    step: int,
) -> NDArray[np.float64]:
    """How much the lightness, 0 to 100, changes over `step` pixels across and down, shape (n,)."""
    here = _LIGHTNESS[picture.grey[rows, columns]]
    across_columns = np.minimum(columns + step, columns.max())
    down_rows = np.minimum(rows + step, rows.max())
    across = np.abs(_LIGHTNESS[picture.grey[rows, across_columns]] - here)
    down = np.abs(_LIGHTNESS[picture.grey[down_rows, columns]] - here)
    if picture.ink is not None:
        across = np.where(picture.ink[rows, across_columns], 0, across)
        down = np.where(picture.ink[down_rows, columns], 0, down)
    return np.asarray(np.maximum(across, down)[seen])
