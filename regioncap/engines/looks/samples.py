"""Pixels of a region, thinned out so that a large region costs no more than a small one."""

from __future__ import annotations

from dataclasses import dataclass

import numpy as np
from numpy.typing import NDArray
from PIL import Image

from regioncap.engines.looks.colours import name_numbers
from regioncap.views.boxes import Rect
from regioncap.views.colour import oklab_from_srgb

#: At most so many rows and so many columns of a region are looked at.
_GRID = 48
#: Lightness of each of the 256 greys, 0 to 100.
_LIGHTNESS: NDArray[np.float32] = np.asarray(
    oklab_from_srgb(np.repeat(np.arange(256, dtype=np.uint8)[:, None], 3, axis=1))[:, 0] * 100,
    dtype=np.float32,
)


@dataclass(frozen=True, slots=True)
class Measured:
    """A decoded picture, ready to be measured."""

    #: sRGB, shape (height, width, 3).
    rgb: NDArray[np.uint8]
    #: Luma, shape (height, width).
    grey: NDArray[np.uint8]
    #: Pixels that belong to a mark, shape (height, width); None if there are no marks.
    ink: NDArray[np.bool_] | None = None

    @classmethod
    def from_image(cls, image: Image.Image, ink: NDArray[np.bool_] | None = None) -> Measured:
        """Takes an RGB image and, if it is marked, the mask of its marks."""
        return cls(np.asarray(image), np.asarray(image.convert("L")), ink)

    @property
    def size_wh(self) -> tuple[int, int]:
        """Width and height in pixels."""
        return self.rgb.shape[1], self.rgb.shape[0]


@dataclass(frozen=True, slots=True)
class Sample:
    """Evenly spread pixels of a box: r rows and c columns of a picture, r and c at most 48."""

    picture: Measured
    #: Shape (r, 1).
    rows: NDArray[np.intp]
    #: Shape (1, c).
    columns: NDArray[np.intp]
    #: Shape (r, c): the pixels that no mark covers; all of them if marks cover everything.
    seen: NDArray[np.bool_]

    @classmethod
    def of_box(cls, picture: Measured, box_xyxy: Rect) -> Sample:
        """Lays the grid over a box."""
        x1, y1, x2, y2 = box_xyxy
        rows, columns = _spread(y1, y2)[:, None], _spread(x1, x2)[None, :]
        seen = np.ones((rows.size, columns.size), dtype=np.bool_)
        if picture.ink is not None and not (inked := picture.ink[rows, columns]).all():
            seen = ~inked
        return cls(picture, rows, columns, seen)

    @property
    def names(self) -> NDArray[np.uint8]:
        """Numbers of the colour names of the seen pixels, shape (n,)."""
        return name_numbers(self.picture.rgb[self.rows, self.columns][self.seen])

    @property
    def lightness(self) -> NDArray[np.float32]:
        """Lightness of the seen pixels, 0 to 100, shape (n,)."""
        return _LIGHTNESS[self.picture.grey[self.rows, self.columns][self.seen]]

    def change(self, step: int) -> NDArray[np.float32]:
        """How much the lightness changes over `step` pixels across or down, shape (r, c).

        Where the far pixel lies outside the grid the pixel at the border is taken, and a change
        towards a mark counts as none.
        """
        grey, ink = self.picture.grey, self.picture.ink
        next_columns = np.minimum(self.columns + step, self.columns[0, -1])
        next_rows = np.minimum(self.rows + step, self.rows[-1, 0])
        here = _LIGHTNESS[grey[self.rows, self.columns]]
        across = np.abs(_LIGHTNESS[grey[self.rows, next_columns]] - here)
        down = np.abs(_LIGHTNESS[grey[next_rows, self.columns]] - here)
        if ink is not None:
            across[ink[self.rows, next_columns]] = 0
            down[ink[next_rows, self.columns]] = 0
        return np.asarray(np.maximum(across, down))


def _spread(start: int, stop: int) -> NDArray[np.intp]:
    count = min(stop - start, _GRID)
    return start + (2 * np.arange(count) + 1) * (stop - start) // (2 * count)
