"""Where the regions of a made scene lie; pure and seeded."""

from __future__ import annotations

from random import Random
from typing import Literal, get_args

from regioncap.boxes import Size, area_xyxy, intersection_xyxy
from regioncap.marks.base import Rect

#: apart: of middling size with room between; small: below half a per cent of the picture;
#: crowded: side by side like tiles; overlapping: each partly over another.
Layout = Literal["apart", "small", "crowded", "overlapping"]
LAYOUTS: tuple[Layout, ...] = get_args(Layout)

_TRIES = 20_000
_GAP_PX = 16
#: Most of a region that those drawn after it may cover.
_COVERED = 0.3


def place(layout: Layout, count: int, size_wh: Size, random: Random) -> list[Rect]:
    """Boxes in the order in which they are to be drawn.

    Args:
        layout: How they lie.
        count: How many.
        size_wh: Size of the picture, pixels.
        random: Decides; the same state gives the same boxes.

    Returns:
        At most `count` boxes, xyxy: fewer where no more fit.
    """
    if layout == "crowded":
        return _tiles(count, size_wh, random)
    low, high = {"apart": (0.1, 0.2), "small": (0.04, 0.065), "overlapping": (0.16, 0.28)}[layout]
    boxes: list[Rect] = []
    for _ in range(_TRIES):
        if len(boxes) == count:
            break
        box = _random_box(low, high, size_wh, random)
        fits = _overlaps_a_little if layout == "overlapping" else _is_apart
        if fits(box, boxes):
            boxes.append(box)
    return boxes


def _random_box(low: float, high: float, size_wh: Size, random: Random) -> Rect:
    width, height = (int(min(size_wh) * random.uniform(low, high)) for _ in range(2))
    left = random.randint(_GAP_PX, size_wh[0] - width - _GAP_PX)
    top = random.randint(_GAP_PX, size_wh[1] - height - _GAP_PX)
    return left, top, left + width, top + height


def _is_apart(box: Rect, others: list[Rect]) -> bool:
    x1, y1, x2, y2 = box
    grown = (x1 - _GAP_PX, y1 - _GAP_PX, x2 + _GAP_PX, y2 + _GAP_PX)
    return not any(intersection_xyxy(grown, other) for other in others)


def _overlaps_a_little(box: Rect, others: list[Rect]) -> bool:
    """Whether it lies over another box, and leaves enough to see of all."""
    shared = [intersection_xyxy(box, other) / area_xyxy(other) for other in others]
    covered = [_covered(other, [*others[i + 1 :], box]) for i, other in enumerate(others)]
    return max(covered, default=0) <= _COVERED and (not others or max(shared) >= 0.05)


def _covered(box: Rect, over: list[Rect]) -> float:
    """The share of a box that others cover; an upper bound, as it counts twice what two cover."""
    return sum(intersection_xyxy(box, other) for other in over) / area_xyxy(box)


def _tiles(count: int, size_wh: Size, random: Random) -> list[Rect]:
    columns = max(1, round((count * size_wh[0] / size_wh[1]) ** 0.5))
    rows = -(-count // columns)
    share = random.uniform(0.5, 0.75)
    wide, high = int(size_wh[0] * share / columns), int(size_wh[1] * share / rows)
    left = random.randint(0, size_wh[0] - wide * columns)
    top = random.randint(0, size_wh[1] - high * rows)
    cells = [(left + wide * (i % columns), top + high * (i // columns)) for i in range(count)]
    return [(x + 2, y + 2, x + wide - 2, y + high - 2) for x, y in cells]
