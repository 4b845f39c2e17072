"""Where the regions of a made scene lie; pure and seeded."""

from __future__ import annotations

from functools import partial
from random import Random
from typing import Literal, get_args

from regioncap.views.boxes import Rect, Size, area_xyxy, intersection_xyxy
from regioncap.views.marks.base import grow

#: apart: of middling size with room between; large: of up to a third of the picture's height, with
#: room between; small: below half a per cent of the picture; crowded: side by side like tiles;
#: overlapping: each partly over another.
Layout = Literal["apart", "large", "small", "crowded", "overlapping"]
LAYOUTS: tuple[Layout, ...] = get_args(Layout)

#: Sides of the boxes, as shares of the picture's shorter side.
_SIDES: dict[Layout, tuple[float, float]] = {
    "apart": (0.1, 0.2),
    "large": (0.2, 0.34),
    "small": (0.04, 0.065),
    "overlapping": (0.16, 0.28),
}
_TRIES = 20_000
_GAP = 0.012
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
    low, high = _SIDES[layout]
    is_apart = partial(_is_apart, gap_px=_gap_px(size_wh))
    fits = _overlaps_a_little if layout == "overlapping" else is_apart
    boxes: list[Rect] = []
    for _ in range(_TRIES):
        if len(boxes) == count:
            break
        box = _random_box(low, high, size_wh, random)
        if fits(box, boxes):
            boxes.append(box)
    return boxes


def _random_box(low: float, high: float, size_wh: Size, random: Random) -> Rect:
    width, height = (int(min(size_wh) * random.uniform(low, high)) for _ in range(2))
    gap = _gap_px(size_wh)
    left = random.randint(gap, size_wh[0] - width - gap)
    top = random.randint(gap, size_wh[1] - height - gap)
    return left, top, left + width, top + height


def _gap_px(size_wh: Size) -> int:
    return max(1, round(_GAP * min(size_wh)))


def _is_apart(box: Rect, others: list[Rect], gap_px: int) -> bool:
    grown = grow(box, gap_px)
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
