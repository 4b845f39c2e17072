"""Crowded boxes are divided among pictures, each box into one."""

from __future__ import annotations

import pytest
from hypothesis import given
from hypothesis import strategies as st

from regioncap.views.boxes import Box, intersection_xyxy
from regioncap.views.rounds import overlap_matrix, split

corner = st.integers(0, 60)
side = st.integers(0, 40)
box = st.tuples(corner, corner, side, side).map(lambda b: (b[0], b[1], b[0] + b[2], b[1] + b[3]))


@given(st.lists(box, max_size=40), st.integers(1, 12))
def test_every_box_is_in_one_round_and_rounds_are_full_alike(boxes: list[Box], most: int) -> None:
    rounds = split(boxes, most)

    assert sorted(i for chosen in rounds for i in chosen) == list(range(len(boxes)))
    assert all(chosen == sorted(chosen) for chosen in rounds)
    assert len(rounds) == -(-len(boxes) // most)
    if rounds:
        assert max(map(len, rounds)) - min(map(len, rounds)) <= 1
        assert max(map(len, rounds)) <= most


@given(st.lists(box, min_size=1, max_size=30), st.integers(1, 8))
def test_rounds_hold_no_more_overlap_than_runs(boxes: list[Box], most: int) -> None:
    rounds = split(boxes, most)
    sizes = [len(chosen) for chosen in rounds]
    starts = [sum(sizes[:i]) for i in range(len(sizes))]
    runs = [list(range(s, s + size)) for s, size in zip(starts, sorted(sizes)[::-1], strict=True)]
    overlaps = overlap_matrix(boxes)

    def held(groups: list[list[int]]) -> float:
        return sum(float(overlaps[i, j]) for group in groups for i in group for j in group)

    assert held(rounds) <= held(runs) + 1e-9


def test_runs_are_taken_where_they_are_better() -> None:
    # Here the most entangled boxes, placed first, leave no good room for the last.
    boxes: list[Box] = [(5, 3, 9, 4), (5, 5, 7, 7), (6, 3, 12, 7), (6, 1, 10, 7)]

    assert split(boxes, 2) == [[0, 1], [2, 3]]


def test_boxes_apart_from_each_other_stay_in_runs() -> None:
    boxes = [(10.0 * i, 0.0, 10.0 * i + 5, 5.0) for i in range(25)]

    assert split(boxes, 10) == [list(range(9)), list(range(9, 17)), list(range(17, 25))]


def test_nested_boxes_go_to_different_rounds() -> None:
    pairs = [(20.0 * i, 0.0, 20.0 * i + 15, 15.0) for i in range(6)]
    inner = [(x1 + 4, 4.0, x1 + 8, 8.0) for x1, *_ in pairs]
    boxes = [box for pair in zip(pairs, inner, strict=True) for box in pair]

    for chosen in split(boxes, 6):
        shared = [intersection_xyxy(boxes[i], boxes[j]) for i in chosen for j in chosen if i < j]
        assert not any(shared)


def test_identical_boxes_are_spread() -> None:
    boxes = [(0.0, 0.0, 10.0, 10.0)] * 3 + [(20.0 * i, 50.0, 20.0 * i + 5, 60.0) for i in range(6)]

    rounds = split(boxes, 3)

    assert [len({0, 1, 2}.intersection(chosen)) for chosen in rounds] == [1, 1, 1]


@pytest.mark.parametrize(
    ("a", "b", "share"),
    [
        ((0, 0, 10, 10), (0, 0, 10, 10), 1.0),
        ((0, 0, 10, 10), (5, 0, 15, 10), 0.5),
        ((0, 0, 10, 10), (2, 2, 4, 4), 1.0),
        ((0, 0, 10, 10), (10, 0, 20, 10), 0.0),
        ((0, 0, 10, 10), (5, 5, 5, 9), 0.0),
    ],
)
def test_overlap_is_the_covered_share_of_the_smaller(a: Box, b: Box, share: float) -> None:
    found = overlap_matrix([a, b])

    assert found[0, 1] == found[1, 0] == share
    assert found[0, 0] == 0
