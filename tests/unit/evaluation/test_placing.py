"""Boxes of scenes lie as their layout says."""

from __future__ import annotations

from random import Random

from hypothesis import given, settings
from hypothesis import strategies as st

from regioncap.evaluation.placing import LAYOUTS, Layout, place
from regioncap.views.boxes import Rect, area_xyxy, intersection_xyxy

SIZE = (1792, 1344)


def shared(boxes: list[Rect]) -> list[float]:
    """Of each pair, the share of the smaller that both cover."""
    return [
        intersection_xyxy(a, b) / min(area_xyxy(a), area_xyxy(b))
        for i, a in enumerate(boxes)
        for b in boxes[i + 1 :]
    ]


@settings(max_examples=40)
@given(st.sampled_from(LAYOUTS), st.integers(1, 12), st.integers(0, 10_000))
def test_boxes_lie_in_the_picture_as_the_layout_says(layout: Layout, count: int, seed: int) -> None:
    boxes = place(layout, count, SIZE, Random(seed))

    assert 1 <= len(boxes) <= count
    assert all(0 <= b[0] < b[2] <= SIZE[0] and 0 <= b[1] < b[3] <= SIZE[1] for b in boxes)
    if layout != "overlapping":
        assert not any(shared(boxes))
    elif len(boxes) > 1:
        assert any(shared(boxes))
    if layout == "large":
        assert all(0.19 * SIZE[1] < min(b[2] - b[0], b[3] - b[1]) for b in boxes)
    if layout == "small":
        assert all(area_xyxy(box) < 0.005 * SIZE[0] * SIZE[1] for box in boxes)


def test_later_boxes_leave_enough_to_see_of_earlier_ones() -> None:
    for seed in range(10):
        boxes = place("overlapping", 8, SIZE, Random(seed))
        for i, box in enumerate(boxes):
            over = sum(intersection_xyxy(box, other) for other in boxes[i + 1 :])
            assert over <= 0.3 * area_xyxy(box)
