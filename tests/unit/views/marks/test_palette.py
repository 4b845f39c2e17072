from __future__ import annotations

import itertools

import pytest
from hypothesis import given
from hypothesis import strategies as st

from regioncap.views.marks.base import Rect, Rgb
from regioncap.views.marks.palette import PALETTE, assign_colours, likeness, text_rgb
from regioncap.views.marks.vision import contrast, difference

APART: list[Rect] = [(200 * i, 0, 200 * i + 20, 20) for i in range(25)]


@given(st.tuples(*[st.integers(0, 255)] * 3))
def test_text_is_readable_on_any_ground(ground: Rgb) -> None:
    assert contrast(text_rgb(ground), ground) >= 4.5


@pytest.mark.parametrize(
    ("eye", "least"), [("normal", 19.0), ("deuteranopia", 9.5), ("protanopia", 9.5)]
)
def test_colours_stay_apart_for_every_eye(eye: str, least: float) -> None:
    pairs = itertools.combinations([colour.rgb for colour in PALETTE], 2)
    assert min(difference(a, b, eye) for a, b in pairs) > least


def test_boxes_far_apart_take_the_palette_in_order() -> None:
    assert assign_colours(APART[:10], near_px=10) == list(PALETTE)


@pytest.mark.parametrize("count", [1, 2, 10])
def test_up_to_ten_boxes_get_different_colours(count: int) -> None:
    crowd: list[Rect] = [(i, i, 100 - i, 100 - i) for i in range(count)]
    assert len(set(assign_colours(crowd, near_px=10))) == count


def test_more_than_ten_use_each_colour_as_often() -> None:
    names = [colour.name for colour in assign_colours(APART[:20], near_px=10)]
    assert {names.count(colour.name) for colour in PALETTE} == {2}


def test_a_neighbour_gets_the_colour_least_like() -> None:
    near: list[Rect] = [(0, 0, 50, 50), (60, 0, 110, 50)]
    first, second = assign_colours(near, near_px=20)
    row = likeness()[PALETTE.index(first)]
    assert PALETTE.index(second) == row.argmin()


def test_near_boxes_never_share_a_colour_while_another_is_as_little_used() -> None:
    twins = [rect for rect in APART[:11] for _ in range(2)]
    colours = assign_colours(twins, near_px=10)
    assert all(a != b for a, b in zip(colours[::2], colours[1::2], strict=True))


def test_no_boxes_take_no_colours() -> None:
    assert assign_colours([], near_px=10) == []
