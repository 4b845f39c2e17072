"""Box formats: how four numbers are meant, and which meaning fits a record's boxes; pure.

A format is a shape and a unit, as in `xyxy-normalized`:

    xywh     left, top, width, height          (no unit)     pixels
    xyxy     left, top, right, bottom          normalized    fractions of the sides
    cxcywh   centre x, centre y, width, height 1000          thousandths of the sides
                                               percent       hundredths of the sides
"""

from __future__ import annotations

import math
from collections import Counter
from collections.abc import Iterable
from typing import Any, get_args

from regioncap.settings import BoxFormat
from regioncap.views.boxes import Box, Size, xyxy_from_xywh

FORMATS: tuple[BoxFormat, ...] = get_args(BoxFormat)
#: What a side counts in each unit but pixels.
_SIDE = {"normalized": 1.0, "1000": 1000.0, "percent": 100.0}
#: Boxes that were rounded reach this far past an edge, and nobody minds.
SLIGHT_PX = 1.0
#: Fractions beyond this are none: rounding and a box drawn past the edge stay below.
_MOST_SIDES = 2.0


def side_of(box_format: BoxFormat) -> float | None:
    """What a whole side counts in a format; None for pixels."""
    return _SIDE.get(box_format.partition("-")[2])


def shape_of(box_format: BoxFormat) -> str:
    """`xywh`, `xyxy` or `cxcywh`."""
    return box_format.partition("-")[0]


def with_shape(box_format: BoxFormat, shape: str) -> BoxFormat:
    """The format of the same unit and another shape."""
    _, dash, unit = box_format.partition("-")
    return next(each for each in FORMATS if each == f"{shape}{dash}{unit}")


def xyxy_pixels(numbers: Box, box_format: BoxFormat, size_wh: Size) -> Box:
    """A box in pixels, xyxy, not clipped, from numbers of a format."""
    side = side_of(box_format)
    if side is not None:
        width, height = size_wh
        a, b, c, d = numbers
        numbers = (a * width / side, b * height / side, c * width / side, d * height / side)
    shape = shape_of(box_format)
    if shape == "xyxy":
        return numbers
    if shape == "cxcywh":
        x, y, w, h = numbers
        numbers = (x - w / 2, y - h / 2, w, h)
    return xyxy_from_xywh(numbers)


def looks_like_fractions(numbers: Box) -> bool:
    """Whether the numbers lie in 0..1 and are not all whole, as no box in pixels does."""
    return all(0 <= n <= 1 for n in numbers) and any(n != int(n) for n in numbers)


def is_beyond(numbers: Box, box_format: BoxFormat) -> bool:
    """Whether the numbers are far beyond the sides that the format counts in."""
    side = side_of(box_format)
    return side is not None and max(numbers) > _MOST_SIDES * side


def overhang(box_xyxy: Box, size_wh: Size) -> tuple[str, float]:
    """The edge that a box reaches past most, and by how many pixels."""
    past = {
        "left": -box_xyxy[0],
        "upper": -box_xyxy[1],
        "right": box_xyxy[2] - size_wh[0],
        "lower": box_xyxy[3] - size_wh[1],
    }
    edge = max(past, key=past.__getitem__)
    return edge, past[edge]


def fits(value: Any, box_format: BoxFormat, size_wh: Size) -> bool:
    """Whether a value, read in a format, is a box inside the picture."""
    numbers = four_numbers(value)
    if numbers is None or is_beyond(numbers, box_format):
        return False
    if looks_like_fractions(numbers) and side_of(box_format) != 1.0:
        return False
    box_xyxy = xyxy_pixels(numbers, box_format, size_wh)
    has_area = box_xyxy[2] > box_xyxy[0] and box_xyxy[3] > box_xyxy[1]
    return has_area and overhang(box_xyxy, size_wh)[1] <= SLIGHT_PX


def four_numbers(value: Any) -> Box | None:
    """The four finite numbers that a value is; None if it is something else."""
    if not isinstance(value, list | tuple) or len(value) != 4:
        return None
    if any(isinstance(each, bool) or not isinstance(each, int | float) for each in value):
        return None
    try:
        x, y, w, h = (float(each) for each in value)
    except OverflowError:
        return None
    return (x, y, w, h) if all(map(math.isfinite, (x, y, w, h))) else None


def count_fits(values: Iterable[Any], size_wh: Size) -> Counter[BoxFormat]:
    """How many boxes each format fits."""
    found: Counter[BoxFormat] = Counter()
    for value in values:
        found.update(each for each in FORMATS if fits(value, each, size_wh))
    return found


def best(fitting: Counter[BoxFormat], box_format: BoxFormat) -> list[BoxFormat]:
    """The formats that fit most boxes and more than the one in use; none if there is none.

    Those of one unit are told apart by their boxes alone; between units pixels come first, then
    fractions, as they are the usual ones: a small box in pixels is also one in thousandths.

    Args:
        fitting: From `count_fits`.
        box_format: The format in use.
    """
    most = max(fitting.values(), default=0)
    if most <= fitting[box_format]:
        return []
    found = [each for each in FORMATS if fitting[each] == most]
    return [each for each in found if side_of(each) == side_of(found[0])]


def hint(fitting: Counter[BoxFormat], box_format: BoxFormat) -> str:
    """A hint that names the formats that fit most boxes; empty if none fits better."""
    found = best(fitting, box_format)
    return f"did you mean --box-format {' or '.join(found)}?" if found else ""
