from __future__ import annotations

import numpy as np
from hypothesis import given
from hypothesis import strategies as st
from numpy.typing import NDArray

from regioncap.views.proposals.components import blobs, dense, merge

Pixel = tuple[int, int]


def flood(inside: set[Pixel], start: Pixel, *, corners: bool) -> set[Pixel]:
    """All pixels of a set that hang together with one of them."""
    steps = [(0, 1), (1, 0), (0, -1), (-1, 0)]
    steps += [(1, 1), (1, -1), (-1, 1), (-1, -1)] if corners else []
    found, waiting = {start}, [start]
    while waiting:
        y, x = waiting.pop()
        for dy, dx in steps:
            near = (y + dy, x + dx)
            if near in inside and near not in found:
                found.add(near)
                waiting.append(near)
    return found


def enclosed_area(part: set[Pixel], canvas: set[Pixel], *, corners: bool) -> int:
    """Pixels that cannot be reached from outside without crossing the part."""
    return len(canvas - flood(canvas - part, (-1, -1), corners=not corners))


def expected(mask: NDArray[np.bool_]) -> list[tuple[int, ...]]:
    height, width = mask.shape
    canvas = {(y, x) for y in range(-1, height + 1) for x in range(-1, width + 1)}
    true = {(int(y), int(x)) for y, x in np.argwhere(mask)}
    outside = flood(canvas - true, (-1, -1), corners=False)
    rows = []
    for pixels, corners in ((true, True), (canvas - true - outside, False)):
        left = set(pixels)
        while left:
            part = flood(left, next(iter(left)), corners=corners)
            left -= part
            ys, xs = zip(*part, strict=True)
            box = (min(xs), min(ys), max(xs) + 1, max(ys) + 1)
            rows.append((*box, enclosed_area(part, canvas, corners=corners)))
    return sorted(rows)


masks = st.integers(1, 9).flatmap(
    lambda width: st.lists(
        st.lists(st.booleans(), min_size=width, max_size=width), min_size=1, max_size=9
    )
)


@given(masks)
def test_blobs__as_by_flooding(rows: list[list[bool]]) -> None:
    mask = np.array(rows)

    found = blobs(mask)

    got = [(*box, area) for box, area in zip(found.boxes_xyxy.tolist(), found.areas, strict=True)]
    assert sorted(got) == expected(mask)


@given(st.data())
def test_merge__joins_what_edges_join(data: st.DataObject) -> None:
    count = data.draw(st.integers(1, 20))
    node = st.integers(0, count - 1)
    edges = data.draw(st.lists(st.tuples(node, node), max_size=30))
    first, second = (np.array([edge[end] for edge in edges], dtype=np.intp) for end in (0, 1))

    roots = merge(count, first, second)

    groups = {n: {n} for n in range(count)}
    for a, b in edges:
        joined = groups[a] | groups[b]
        groups |= dict.fromkeys(joined, joined)
    assert roots.tolist() == [min(groups[n]) for n in range(count)]


def test_dense__numbers_by_first_node() -> None:
    assert dense(np.array([0, 3, 3, 0, 4])).tolist() == [0, 1, 1, 0, 2]
