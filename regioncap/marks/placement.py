"""Where numbered tags go, so that each is read with its own box and hides little of any.

Tags are placed one by one, smallest boxes first, since those have the least to spare. Each takes
the cheapest of sixteen places at its box; if every one of those would touch another tag or hide
too much of a box, the tag goes to the best place anywhere, tied to its box by a leader line.
"""

from __future__ import annotations

from collections.abc import Sequence

import numpy as np
from numpy.typing import NDArray

from regioncap.boxes import Size
from regioncap.marks.base import Rect, Segment

Ints = NDArray[np.int64]
Floats = NDArray[np.float64]

#: No box may lose more than this share of its area to tags.
MAX_HIDDEN = 0.3
#: Costs at or above this are faults: a tag on another tag, a box hidden too far.
_FAULT = 50.0
#: What each further place at a box costs, so that tags stay where one looks for them.
_LATER = 0.02
#: Tags keep two pixels between them.
_ROOM = np.array([-2, -2, 2, 2])
#: Most places tried along each side of the picture when a tag must leave its box.
_GRID = 48


class Placer:
    """Places the tags of one picture.

    Args:
        size_wh: Size of the picture.
        boxes_xyxy: N boxes.
        outlines_xyxy: N outer edges of the boxes' lines, inside the picture.
        tags_wh: N sizes of tags, none larger than the picture.
        lap_px: How far a tag lies over its own line's casing.
    """

    def __init__(
        self,
        size_wh: Size,
        boxes_xyxy: Sequence[Rect],
        outlines_xyxy: Sequence[Rect],
        tags_wh: Sequence[Size],
        lap_px: int,
    ) -> None:
        self._size = np.array(size_wh, dtype=np.int64)
        self._boxes = np.array(boxes_xyxy, dtype=np.int64).reshape(-1, 4)
        self._outlines = np.array(outlines_xyxy, dtype=np.int64).reshape(-1, 4)
        self._tags_wh = np.array(tags_wh, dtype=np.int64).reshape(-1, 2)
        self._areas = _areas(self._boxes)
        self._hidden = np.zeros(len(self._boxes))
        self._anchors = self._anchor_places(lap_px)

    def place(self) -> list[Rect]:
        """Finds a place for every tag.

        Returns:
            N tags, inside the picture, in the order of the boxes.
        """
        shares, costs = self._cost(self._anchors, np.arange(len(self._boxes))[:, None])
        costs += _LATER * np.arange(costs.shape[1])
        tags, taken = np.zeros_like(self._boxes), np.zeros_like(self._boxes)
        for done, i in enumerate(np.argsort(self._areas, kind="stable").tolist()):
            total = costs[i] + self._faults(self._anchors[i], shares[i], taken[:done])
            best = int(total.argmin())
            tag, share = self._anchors[i, best], shares[i, best]
            if total[best] >= _FAULT:
                tag, share = self._elsewhere(i, taken[:done], tag, share, float(total[best]))
            tags[i], taken[done] = tag, tag + _ROOM
            self._hidden += share
        return [(x1, y1, x2, y2) for x1, y1, x2, y2 in tags.tolist()]

    def _anchor_places(self, lap_px: int) -> Ints:
        """The places (N, 16, 4) at each box, in order of preference."""
        x1, y1, x2, y2 = self._outlines.T
        w, h = self._tags_wh.T
        xs, ys = (x1, x2 - w, (x1 + x2 - w) // 2), (y1, y2 - h, (y1 + y2 - h) // 2)
        above, below = y1 - h + lap_px, y2 - lap_px
        before, after = x1 - w + lap_px, x2 - lap_px
        corners = [(x, above) for x in xs] + [(x, below) for x in xs]
        corners += [(before, y) for y in ys] + [(after, y) for y in ys]
        corners += [(x, y) for y in ys[:2] for x in xs[:2]]
        wanted = np.array(corners, dtype=np.int64).transpose(2, 0, 1)
        kept = np.clip(wanted, 0, (self._size - self._tags_wh)[:, None])
        return np.concatenate([kept, kept + self._tags_wh[:, None]], axis=2)

    def _cost(self, places: Ints, owner: Ints | int) -> tuple[Floats, Floats]:
        """What places (..., 4) for the owner's tag hide of each box (..., N), and what that costs.

        Hiding a part of any box costs by its share. On another box's
        line, a tag would read as that one's.
        """
        shared = _shared(places[..., None, :], self._boxes)
        on_lines = _shared(places[..., None, :], self._outlines) - shared
        shares = shared / self._areas
        own = np.arange(len(self._boxes)) == np.asarray(owner)[..., None]
        astray = np.where(own, 0, on_lines) / _areas(places)[..., None]
        return shares, (8.0 * shares + astray).sum(axis=-1)

    def _faults(self, places: Ints, shares: Floats, taken: Ints) -> Floats:
        """What places (M, 4) cost for touching tags that are there or hiding a box too far."""
        buried = np.maximum((self._hidden + shares).max(axis=-1) - MAX_HIDDEN, 0.0)
        faults: Floats = _FAULT * ((buried > 0) + buried)
        if len(taken):
            shared = _shared(places[:, None, :], taken)
            part = shared.sum(axis=-1) / _areas(places)
            faults += _FAULT * (4.0 * np.count_nonzero(shared, axis=-1) + part)
        return faults

    def _elsewhere(
        self, i: int, taken: Ints, tag: Ints, share: Floats, cost: float
    ) -> tuple[Ints, Floats]:
        """The best place anywhere in the picture, or the given one where that is no better."""
        width, height = (int(v) for v in self._tags_wh[i])
        xs = _steps(int(self._size[0]) - width, width)
        ys = _steps(int(self._size[1]) - height, height)
        low = np.stack(np.meshgrid(xs, ys), axis=-1).reshape(-1, 2)
        places = np.concatenate([low, low + self._tags_wh[i]], axis=1)
        shares, costs = self._cost(places, i)
        costs += self._faults(places, shares, taken) + _distance(places, self._outlines[i]) / height
        best = int(costs.argmin())
        return (places[best], shares[best]) if costs[best] < cost else (tag, share)


def leader_between(tag_xyxy: Rect, outline_xyxy: Rect) -> Segment | None:
    """The shortest line from a tag to its box's outline, or None where they meet."""
    tag_x, box_x = _nearest(tag_xyxy[0], tag_xyxy[2], outline_xyxy[0], outline_xyxy[2])
    tag_y, box_y = _nearest(tag_xyxy[1], tag_xyxy[3], outline_xyxy[1], outline_xyxy[3])
    apart_x = max(tag_xyxy[0] - outline_xyxy[2], outline_xyxy[0] - tag_xyxy[2])
    apart_y = max(tag_xyxy[1] - outline_xyxy[3], outline_xyxy[1] - tag_xyxy[3])
    if max(apart_x, apart_y) <= 0:
        return None
    return (tag_x, tag_y), (box_x, box_y)


def _nearest(a1: int, a2: int, b1: int, b2: int) -> tuple[int, int]:
    """The points of two spans of pixels that are nearest; the middle of what they share."""
    if a2 <= b1:
        return a2 - 1, b1
    if b2 <= a1:
        return a1, b2 - 1
    middle = (max(a1, b1) + min(a2, b2) - 1) // 2
    return middle, middle


def _areas(rects: Ints) -> Floats:
    sides = rects[..., 2:] - rects[..., :2]
    return (sides[..., 0] * sides[..., 1]).astype(np.float64)


def _shared(a: Ints, b: Ints) -> Ints:
    """Areas that rectangles (..., 4) share with rectangles (..., 4)."""
    sides = np.minimum(a[..., 2:], b[..., 2:]) - np.maximum(a[..., :2], b[..., :2])
    sides = np.maximum(sides, 0)
    shared: Ints = sides[..., 0] * sides[..., 1]
    return shared


def _distance(places: Ints, rect: Ints) -> Floats:
    apart = np.maximum(np.maximum(places[:, :2] - rect[2:], rect[:2] - places[:, 2:]), 0)
    distance: Floats = np.hypot(apart[:, 0], apart[:, 1])
    return distance


def _steps(room: int, side: int) -> Ints:
    count = min(_GRID, 2 * room // max(side, 1) + 2)
    return np.unique(np.linspace(0, room, count).astype(np.int64))
