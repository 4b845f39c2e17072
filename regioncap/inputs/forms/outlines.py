"""The box around a segmentation of COCO's: polygons, or runs of a mask; pure."""

from __future__ import annotations

import math
from collections.abc import Iterable, Iterator
from typing import Any

#: Runs of a mask are counted in five bits a character, the sixth of which says that more follow.
_BITS, _MORE, _SIGN, _ZERO = 5, 0x20, 0x10, 48
_MOST_RUNS = 10_000_000


def box_of_segmentation(outline: Any) -> list[float] | None:
    """The box as [x, y, width, height] in pixels; None if there is none with an area."""
    if isinstance(outline, dict):
        return _box_of_mask(outline.get("counts"), outline.get("size"))
    if isinstance(outline, list) and all(map(_is_number, outline)):
        outline = [outline]
    if not isinstance(outline, list):
        return None
    polygons = [each for each in outline if isinstance(each, list) and all(map(_is_number, each))]
    xs = [x for polygon in polygons for x in polygon[::2]]
    ys = [y for polygon in polygons for y in polygon[1::2]]
    if not xs or not ys:
        return None
    left, top, width, height = min(xs), min(ys), max(xs) - min(xs), max(ys) - min(ys)
    return [left, top, width, height] if width > 0 and height > 0 else None


def _box_of_mask(counts: Any, size: Any) -> list[float] | None:
    """The box of a mask that is told in runs, of nothing and of something, column by column."""
    if not isinstance(size, list) or len(size) != 2 or not all(map(_is_whole, size)):
        return None
    height, width = size
    if height <= 0 or width <= 0:
        return None
    if isinstance(counts, str):
        counts = _unpacked(counts)
    elif not isinstance(counts, list) or not all(map(_is_whole, counts)):
        return None
    return _box_of_runs(counts, height, width)


def _box_of_runs(counts: Iterable[int], height: int, width: int) -> list[float] | None:
    left, top, right, bottom, position = width, height, 0, 0, 0
    for number, count in enumerate(counts):
        begin, position = position, position + count
        if count < 0 or position > height * width or number > _MOST_RUNS:
            return None
        if number % 2 == 0 or not count:
            continue
        first, last = begin // height, (position - 1) // height
        left, right = min(left, first), max(right, last + 1)
        top = min(top, begin % height) if first == last else 0
        bottom = max(bottom, (position - 1) % height + 1) if first == last else height
    if right <= left:
        return None
    return [left, top, right - left, bottom - top]


def _unpacked(text: str) -> Iterator[int]:
    """Runs of the compressed form: from the fourth on, how they differ from the last but one."""
    before = [0, 0]
    at, number = 0, 0
    while at < len(text):
        value, shift, more = 0, 0, True
        while more and at < len(text) and shift < 60:
            bits = ord(text[at]) - _ZERO
            value |= (bits & 0x1F) << shift
            more, at, shift = bool(bits & _MORE), at + 1, shift + _BITS
            if not more and bits & _SIGN:
                value |= -1 << shift
        if number > 2:
            value += before[0]
        before = [before[1], value]
        number += 1
        yield value


def _is_number(value: Any) -> bool:
    is_number = isinstance(value, int | float) and not isinstance(value, bool)
    return is_number and math.isfinite(value)


def _is_whole(value: Any) -> bool:
    return isinstance(value, int) and not isinstance(value, bool)
