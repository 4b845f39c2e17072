"""Where numbered tags go, so that each is read with its own box and hides little of any.

Tags are placed one by one, smallest boxes first, since those have the least to spare. Each takes
the cheapest of sixteen places at its box; if every one of those would touch another tag or hide
too much of a box, the tag goes to the best place anywhere, tied to its box by a leader line.

Places are tried from the likeliest on, and no further than one can still be cheaper. For the few
boxes of a picture that takes less time in plain numbers than in arrays of all places.
"""

from __future__ import annotations

import math
from collections.abc import Sequence
from dataclasses import dataclass, field

from regioncap.views.boxes import Rect, Size, area_xyxy
from regioncap.views.marks.base import Segment, grow

#: No box may lose more than this share of its area to tags.
MAX_HIDDEN = 0.3
#: Costs at or above this are faults: a tag on another tag, a box hidden too far.
_FAULT = 50.0
#: What each further place at a box costs, so that tags stay where one looks for them.
_LATER = 0.02
#: Tags keep so many pixels between them.
_ROOM_PX = 2
#: Where along a side of its box a tag may lie; the last two are outside the box.
_START, _END, _MIDDLE, _BEFORE, _AFTER = range(5)
#: The places at a box, across and down, in order of preference: above it, below it, on its left, on
#: its right, then in its corners.
_AT_BOX = (
    (_START, _BEFORE), (_END, _BEFORE), (_MIDDLE, _BEFORE),
    (_START, _AFTER), (_END, _AFTER), (_MIDDLE, _AFTER),
    (_BEFORE, _START), (_BEFORE, _END), (_BEFORE, _MIDDLE),
    (_AFTER, _START), (_AFTER, _END), (_AFTER, _MIDDLE),
    (_START, _START), (_END, _START), (_START, _END), (_END, _END),
)  # fmt: skip
#: Most places tried along each side of the picture when a tag must leave its box.
_GRID = 48


@dataclass(slots=True)
class Placer:
    """Places the tags of one picture.

    Args:
        size_wh: Size of the picture.
        boxes_xyxy: N boxes.
        outlines_xyxy: N outer edges of the boxes' lines, inside the picture, around the boxes.
        tags_wh: N sizes of tags, none larger than the picture.
        lap_px: How far a tag lies over its own line's casing.
    """

    size_wh: Size
    boxes_xyxy: Sequence[Rect]
    outlines_xyxy: Sequence[Rect]
    tags_wh: Sequence[Size]
    lap_px: int
    _areas: list[float] = field(init=False)
    #: Share of each box that tags hide so far.
    _hidden: list[float] = field(init=False)
    #: Tags that are there, with the room around them.
    _taken: list[Rect] = field(init=False, default_factory=list)

    def __post_init__(self) -> None:
        self._areas = [area_xyxy(box) for box in self.boxes_xyxy]
        self._hidden = [0.0] * len(self.boxes_xyxy)

    def place(self) -> list[Rect]:
        """Finds a place for every tag.

        Returns:
            N tags, inside the picture, in the order of the boxes.
        """
        tags: dict[int, Rect] = {}
        for i in sorted(range(len(self.boxes_xyxy)), key=self._areas.__getitem__):
            tag, cost = self._at_box(i)
            if cost >= _FAULT:
                tag = self._elsewhere(i, tag, cost)
            tags[i] = tag
            self._taken.append(grow(tag, _ROOM_PX))
            for k, box in enumerate(self.boxes_xyxy):
                self._hidden[k] += _shared(tag, box) / self._areas[k]
        return [tags[i] for i in range(len(self.boxes_xyxy))]

    def _at_box(self, i: int) -> tuple[Rect, float]:
        """The cheapest place at a box for its tag, the first of equals, and what it costs."""
        best, least = self.outlines_xyxy[i], math.inf
        w, h = self.tags_wh[i]
        x1, y1, x2, y2 = self.outlines_xyxy[i]
        xs = _along(x1, x2, w, self.lap_px, self.size_wh[0])
        ys = _along(y1, y2, h, self.lap_px, self.size_wh[1])
        for rank, (column, row) in enumerate(_AT_BOX):
            if _LATER * rank >= least:
                break
            x, y = xs[column], ys[row]
            place = x, y, x + w, y + h
            cost, faults = self._cost(place, i)
            total = cost + _LATER * rank + faults
            if total < least:
                best, least = place, total
        return best, least

    def _cost(self, place: Rect, owner: int) -> tuple[float, float]:
        """What a place for the owner's tag costs, and its faults.

        Hiding a part of any box costs by its share. On another box's line, a tag would read as
        that one's. Faults are touching tags that are there and hiding a box too far.
        """
        x1, y1, x2, y2 = place
        area = (x2 - x1) * (y2 - y1)
        cost, most_hidden = 0.0, max(self._hidden)
        for k, (left, top, right, bottom) in enumerate(self.outlines_xyxy):
            if x2 <= left or right <= x1 or y2 <= top or bottom <= y1:
                continue  # most of them: not worth a call
            inside = _shared(place, self.boxes_xyxy[k])
            share = inside / self._areas[k]
            cost += 8.0 * share
            if k != owner:
                cost += (_shared(place, self.outlines_xyxy[k]) - inside) / area
            most_hidden = max(most_hidden, self._hidden[k] + share)
        touched = [
            _shared(place, tag)
            for tag in self._taken
            if x1 < tag[2] and tag[0] < x2 and y1 < tag[3] and tag[1] < y2
        ]
        return cost, _buried(most_hidden) + _FAULT * (4.0 * len(touched) + sum(touched) / area)

    def _elsewhere(self, i: int, tag: Rect, cost: float) -> Rect:
        """The best place anywhere in the picture, or the given one where that is no better."""
        w, h = self.tags_wh[i]
        xs, ys = _steps(self.size_wh[0] - w, w), _steps(self.size_wh[1] - h, h)
        places = [(x, y, x + w, y + h) for y in ys for x in xs]
        outline = self.outlines_xyxy[i]
        everywhere = _buried(max(self._hidden))
        for place in sorted(places, key=lambda place: _distance(place, outline)):
            apart = _distance(place, outline) / h
            if everywhere + apart > cost:
                break
            hides, faults = self._cost(place, i)
            if (total := hides + faults + apart) < cost:
                tag, cost = place, total
        return tag


def _along(low: int, high: int, side: int, lap_px: int, room: int) -> list[int]:
    """Where a tag of a side's length begins for each way to lie along a box, inside the room."""
    wanted = (low, high - side, (low + high - side) // 2, low - side + lap_px, high - lap_px)
    return [min(max(start, 0), room - side) for start in wanted]


def _buried(most_hidden: float) -> float:
    """What it costs that so large a share of a box is hidden: nothing up to the limit."""
    beyond = most_hidden - MAX_HIDDEN
    return _FAULT * (1.0 + beyond) if beyond > 0 else 0.0


def leader_between(tag_xyxy: Rect, outline_xyxy: Rect) -> Segment | None:
    """The shortest line from a tag to its box's outline, or None where they meet."""
    apart_x = max(tag_xyxy[0] - outline_xyxy[2], outline_xyxy[0] - tag_xyxy[2])
    apart_y = max(tag_xyxy[1] - outline_xyxy[3], outline_xyxy[1] - tag_xyxy[3])
    if max(apart_x, apart_y) <= 0:
        return None
    tag_x, box_x = _nearest(tag_xyxy[0], tag_xyxy[2], outline_xyxy[0], outline_xyxy[2])
    tag_y, box_y = _nearest(tag_xyxy[1], tag_xyxy[3], outline_xyxy[1], outline_xyxy[3])
    return (tag_x, tag_y), (box_x, box_y)


def _nearest(a1: int, a2: int, b1: int, b2: int) -> tuple[int, int]:
    """The points of two spans of pixels that are nearest; the middle of what they share."""
    if a2 <= b1:
        return a2 - 1, b1
    if b2 <= a1:
        return a1, b2 - 1
    middle = (max(a1, b1) + min(a2, b2) - 1) // 2
    return middle, middle


def _shared(a: Rect, b: Rect) -> int:
    """Area that two rectangles share."""
    ax1, ay1, ax2, ay2 = a
    bx1, by1, bx2, by2 = b
    left, right = (ax1 if ax1 > bx1 else bx1), (ax2 if ax2 < bx2 else bx2)
    top, bottom = (ay1 if ay1 > by1 else by1), (ay2 if ay2 < by2 else by2)
    return (right - left) * (bottom - top) if left < right and top < bottom else 0


def _distance(a: Rect, b: Rect) -> float:
    return math.hypot(max(a[0] - b[2], b[0] - a[2], 0), max(a[1] - b[3], b[1] - a[3], 0))


def _steps(room: int, side: int) -> list[int]:
    """Starts of spans of a length, a half of it apart, over so much room; both ends among them."""
    last = min(_GRID, 2 * room // max(side, 1) + 2) - 1
    return sorted({k * room // last for k in range(last + 1)})
