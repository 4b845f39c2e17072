"""What a mark is, and what a style of marks must do.

A style is two pure steps: `layout` decides where everything goes, `draw` puts it there. A layout
depends on sizes, boxes and numbers alone, so that it can be tested, compared and repeated without
a picture.
"""

from __future__ import annotations

from collections.abc import Sequence
from dataclasses import dataclass
from typing import ClassVar, Protocol

import numpy as np
from numpy.typing import NDArray

from regioncap.views.boxes import Rect, Size

Rgb = tuple[int, int, int]
Segment = tuple[tuple[int, int], tuple[int, int]]
Mask = NDArray[np.bool_]
#: RGB, (height, width, 3).
Pixels = NDArray[np.uint8]


@dataclass(frozen=True, slots=True)
class Mark:
    """A region's box and numbered tag as they lie in the picture; all units are pixels."""

    #: The number on the tag.
    number: int
    #: The region, inside the picture, at least 1 by 1.
    box_xyxy: Rect
    #: The tag, right and bottom exclusive.
    tag_xyxy: Rect
    #: The line's inner edge; the line grows outwards from here and ends at the picture's border.
    line_xyxy: Rect
    #: Width of the coloured line, without its casing.
    line_px: int
    #: Size of the digits.
    font_px: int
    #: Colour of the line.
    rgb: Rgb
    #: What people call that colour; empty where all marks of the style share one.
    colour: str = ""
    #: Width of each contrasting edge of the line; 0 for a bare line.
    casing_px: int = 0
    #: From the tag to the box, where the tag could not lie next to it.
    leader: Segment | None = None

    @property
    def total_px(self) -> int:
        """Width of the line with its casing."""
        return self.line_px + 2 * self.casing_px

    @property
    def outline_xyxy(self) -> Rect:
        """The line's outer edge."""
        return grow(self.line_xyxy, self.total_px)


class MarkStyle(Protocol):
    """A way to draw marks. The name carries the version: a style that draws otherwise is another.

    Outside `ink`, `draw` leaves every pixel as it was, times `shade`.
    """

    #: The style's name, as recorded with each result.
    name: ClassVar[str]
    #: What `draw` multiplies the whole picture by before it draws; 1.0 leaves it as it is.
    shade: ClassVar[float]

    def layout(
        self, size_wh: Size, boxes_xyxy: Sequence[Rect], numbers: Sequence[int]
    ) -> list[Mark]:
        """Decides where marks go; the same arguments give the same marks.

        Args:
            size_wh: Size of the picture in pixels.
            boxes_xyxy: N boxes inside the picture, as `pixel_rect` makes them, also nested or
                identical.
            numbers: The N numbers to write on the tags.

        Returns:
            N marks, in the order of the boxes.
        """
        ...

    def draw(self, pixels: Pixels, marks: Sequence[Mark]) -> Pixels:
        """Draws marks on a copy of a picture.

        Args:
            pixels: RGB, (height, width, 3), of the size that the marks were laid out for.
            marks: What `layout` returned.

        Returns:
            A new array of the same shape.
        """
        ...

    def ink(self, size_wh: Size, marks: Sequence[Mark]) -> Mask:
        """Tells which pixels the marks may have been drawn on.

        Returns:
            Array (height, width), True where there may be ink.
        """
        ...


def grow(rect: Rect, px: int) -> Rect:
    """Moves every side of a rectangle outwards."""
    x1, y1, x2, y2 = rect
    return x1 - px, y1 - px, x2 + px, y2 + px


def fill(target: Mask | Pixels, rect: Rect, value: bool | Rgb) -> None:
    """Sets the part of a rectangle that lies on the target; one that is inside out has none."""
    x1, y1, x2, y2 = rect
    target[max(y1, 0) : max(y2, 0), max(x1, 0) : max(x2, 0)] = value


def sides(outer: Rect, px: int) -> list[Rect]:
    """The four sides of a frame, as rectangles of so many pixels' width."""
    x1, y1, x2, y2 = outer
    return [
        (x1, y1, x2, y1 + px),
        (x1, y2 - px, x2, y2),
        (x1, y1, x1 + px, y2),
        (x2 - px, y1, x2, y2),
    ]


def ink_of(size_wh: Size, marks: Sequence[Mark]) -> Mask:
    """The pixels, (height, width), that lines and tags lie on; leaders are not among them."""
    mask = np.zeros((size_wh[1], size_wh[0]), dtype=np.bool_)
    for mark in marks:
        for rect in (*sides(mark.outline_xyxy, mark.total_px), mark.tag_xyxy):
            fill(mask, rect, True)
    return mask


def fill_rows(target: Pixels, rect: Rect, row: Pixels) -> None:
    """Repeats one row of pixels down the part of a rectangle that lies on the target.

    Whole rows of bytes are copied, which takes a tenth of the time of one colour pixel by pixel.

    Args:
        target: (height, 3 * width): the bytes of the pixels of a picture, row by row.
        rect: In pixels.
        row: Bytes of at least as many pixels as the rectangle is wide.
    """
    x1, y1, x2, y2 = rect
    left, right = max(x1, 0), min(x2, target.shape[1] // 3)
    if left < right:
        here = slice(3 * (left - x1), 3 * (right - x1))
        target[max(y1, 0) : max(y2, 0), 3 * left : 3 * right] = row[here]


def blend(target: Pixels, xy: tuple[int, int], ink: Pixels | Rgb, coverage: Pixels) -> None:
    """Lays ink over the target, as much of it as its coverage tells.

    Args:
        target: Changed where it is covered.
        xy: Where the coverage's upper left corner goes; the rest may leave the target.
        ink: One colour, or RGB of the coverage's shape.
        coverage: (height, width), 255 where the ink hides the target.
    """
    print_stamp(target, xy, Stamp.of(ink, coverage))


@dataclass(frozen=True, slots=True)
class Stamp:
    """Ink made ready to be laid over pictures; both arrays are (height, width, 3)."""

    #: The ink times its coverage, 0 to 255 * 255, and a half of 255 for rounding.
    ink: NDArray[np.uint16]
    #: How much of the target stays, 0 to 255.
    keep: NDArray[np.uint16]

    @classmethod
    def of(cls, ink: Pixels | Rgb, coverage: Pixels) -> Stamp:
        """A stamp of ink and coverage as `blend` takes them."""
        cover = np.repeat(coverage.astype(np.uint16)[..., None], 3, axis=2)
        return cls(np.asarray(ink, dtype=np.uint16) * cover + 127, 255 - cover)


def print_stamp(target: Pixels, xy: tuple[int, int], stamp: Stamp) -> None:
    """Lays a stamp's ink over the part of the target that it meets."""
    (height, width, _), (x, y) = stamp.ink.shape, xy
    left, top = max(-x, 0), max(-y, 0)
    right, bottom = min(width, target.shape[1] - x), min(height, target.shape[0] - y)
    if left >= right or top >= bottom:
        return
    here = slice(top, bottom), slice(left, right)
    part = target[y + top : y + bottom, x + left : x + right]
    part[:] = (part * stamp.keep[here] + stamp.ink[here]) // 255
