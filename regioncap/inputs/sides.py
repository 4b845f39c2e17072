"""A box, or several, of which each side is a field: xmin, ymin, xmax, ymax; x, y, w, h; pure."""

from __future__ import annotations

import math
import re
from collections.abc import Iterator, Mapping
from dataclasses import dataclass
from functools import lru_cache
from typing import Any

#: Names of sides without what is no letter or digit. All four may have a beginning or an end in
#: common, as in `bbox_x`, `bbox_y`, `bbox_w`, `bbox_h`.
_SIDES = {
    "xyxy": ("xmin ymin xmax ymax", "x1 y1 x2 y2", "x0 y0 x1 y1", "left top right bottom",
             "minx miny maxx maxy", "xtl ytl xbr ybr", "startx starty endx endy",
             "xstart ystart xend yend", "left upper right lower", "xleft ytop xright ybottom",
             "tlx tly brx bry", "ulx uly lrx lry", "xlow ylow xhigh yhigh"),
    "cxcywh": ("cx cy w h", "cx cy width height", "xcenter ycenter width height",
               "centerx centery width height", "xcenter ycenter w h", "centerx centery w h",
               "xcentre ycentre width height", "centrex centrey width height", "xc yc w h"),
    "xywh": ("xpx ypx widthpx heightpx", "x y w h", "x y width height", "left top width height",
             "xmin ymin width height", "xmin ymin w h", "left top w h", "minx miny width height",
             "tlx tly w h", "originx originy width height", "x1 y1 width height", "x1 y1 w h"),
}  # fmt: skip
#: Of records with more fields, sides are known by their plain names alone.
_MOST_NAMES = 1_000
_FAMILIES = [(shape, tuple(f.split())) for shape, all_ in _SIDES.items() for f in all_]


@dataclass(frozen=True, slots=True)
class Found:
    """Boxes, and where they stand."""

    where: str
    #: A list of boxes; something else if they cannot be read.
    boxes: Any
    #: The shape that names tell: `xywh`, `xyxy`, `cxcywh`, or empty.
    shape: str = ""
    #: Fields of the record that hold nothing else.
    fields: tuple[str, ...] = ()


def sides_in(fields: Mapping[str, Any]) -> Found | None:
    """The boxes of which each side is a field; None if there are none.

    Where a side is empty the boxes cannot be read; where the first two are there is no box.
    """
    known, broken = tuple(fields), None
    for shape, names in _possible(known) if len(known) <= _MOST_NAMES else _sought(known):
        given = [is_given(fields[name]) for name in names]
        if all(given):
            boxes = _zipped([fields[name] for name in names])
            return Found(", ".join(map(str, names)), boxes, shape, names)
        if any(given[:2]) and broken is None:  # the others may be the picture's size
            broken = Found(", ".join(map(str, names)), None, shape, names)
    return broken


@lru_cache(maxsize=256)  # rows, and objects in a list, have the same names again and again
def _possible(fields: tuple[str, ...]) -> list[tuple[str, tuple[str, ...]]]:
    return _sought(fields)


def _sought(fields: tuple[str, ...]) -> list[tuple[str, tuple[str, ...]]]:
    """Which fields can be the sides of a box, and in which shape."""
    names = {plain_name(name): name for name in fields}
    found = []
    for shape, family in _FAMILIES:
        for before, after in _around(family[0], names):
            sides = [before + side + after for side in family]
            if all(side in names for side in sides):
                found.append((shape, tuple(names[side] for side in sides)))
    return found


def _around(side: str, names: Mapping[str, str]) -> Iterator[tuple[str, str]]:
    """What may stand before and behind the names of sides; nothing at all comes first."""
    yield "", ""
    if len(names) <= _MOST_NAMES:
        yield from ((name.removesuffix(side), "") for name in names if name.endswith(side))
        yield from (("", name.removeprefix(side)) for name in names if name.startswith(side))


def plain_name(name: Any) -> str:
    """A name without what is no letter or digit."""
    return re.sub(r"[^a-z0-9]", "", str(name).lower())


def is_given(value: Any) -> bool:
    """Whether a cell of a table is not empty."""
    if isinstance(value, str):
        return bool(value.strip())
    return value is not None and not (isinstance(value, float) and math.isnan(value))


def number_of(value: Any) -> Any:
    """The number that a text is, as tables have it; anything else as it is.

    So are "nan" and "inf": texts can be written down, and say what is wrong.
    """
    if isinstance(value, str):
        try:
            number = float(value)
        except ValueError:
            return value
        return number if math.isfinite(number) else value
    return value


def _zipped(values: list[Any]) -> Any:
    if all(isinstance(value, list) for value in values):
        if len({len(value) for value in values}) != 1:
            return None
        return [[number_of(side) for side in box] for box in zip(*values, strict=True)]
    return [[number_of(value) for value in values]]
