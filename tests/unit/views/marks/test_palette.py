"""The palette: readable digits, and neighbours whose colours differ for every eye."""

from __future__ import annotations

import itertools

import pytest
from hypothesis import given
from hypothesis import strategies as st

from regioncap.views.boxes import Rect
from regioncap.views.marks.base import Rgb
from regioncap.views.marks.palette import (
    APART,
    PALETTE,
    assign_colours,
    contrast,
    likeness,
    luminance,
    text_rgb,
)
from tests.support.vision import EYES, difference

FAR: list[Rect] = [(200 * i, 0, 200 * i + 20, 20) for i in range(25)]


@given(st.tuples(*[st.integers(0, 255)] * 3))
def test_text_is_readable_on_any_ground(ground: Rgb) -> None:
    assert contrast(text_rgb(ground), ground) >= 4.5


def test_the_table_is_what_the_eyes_see() -> None:
    for a, row in enumerate(APART):
        for b, apart in enumerate(row):
            seen = min(difference(PALETTE[a].rgb, PALETTE[b].rgb, eye) for eye in EYES)
            assert apart == pytest.approx(seen, abs=0.006)
    assert [len(row) for row in APART] == list(range(len(PALETTE)))


@pytest.mark.parametrize(
    ("eye", "least"), [("normal", 19.0), ("deuteranopia", 9.5), ("protanopia", 9.5)]
)
def test_colours_stay_apart_for_every_eye(eye: str, least: float) -> None:
    pairs = itertools.combinations([colour.rgb for colour in PALETTE], 2)
    assert min(difference(a, b, eye) for a, b in pairs) > least


def test_boxes_far_apart_take_the_palette_in_order() -> None:
    assert assign_colours(FAR[:10], near_px=10) == list(PALETTE)


@pytest.mark.parametrize("count", [1, 2, 10])
def test_up_to_ten_boxes_get_different_colours(count: int) -> None:
    crowd: list[Rect] = [(i, i, 100 - i, 100 - i) for i in range(count)]
    assert len(set(assign_colours(crowd, near_px=10))) == count


def test_more_than_ten_use_each_colour_as_often() -> None:
    names = [colour.name for colour in assign_colours(FAR[:20], near_px=10)]
    assert {names.count(colour.name) for colour in PALETTE} == {2}


def test_a_neighbour_gets_the_colour_least_like() -> None:
    near: list[Rect] = [(0, 0, 50, 50), (60, 0, 110, 50)]
    first, second = (PALETTE.index(colour) for colour in assign_colours(near, near_px=20))
    others = [number for number in range(len(PALETTE)) if number != first]
    assert second == min(others, key=lambda other: likeness(first, other))


def test_near_boxes_never_share_a_colour_while_another_is_as_little_used() -> None:
    twins = [rect for rect in FAR[:11] for _ in range(2)]
    colours = assign_colours(twins, near_px=10)
    assert all(a != b for a, b in zip(colours[::2], colours[1::2], strict=True))


def test_no_boxes_take_no_colours() -> None:
    assert assign_colours([], near_px=10) == []


@pytest.mark.parametrize(
    ("rgb", "expected"),
    [((0, 0, 0), 0.0), ((255, 255, 255), 1.0), ((255, 0, 0), 0.2126), ((119, 119, 119), 0.1845)],
)
def test_luminance(rgb: Rgb, expected: float) -> None:
    assert luminance(rgb) == pytest.approx(expected, abs=1e-4)


def test_contrast_is_symmetric_and_runs_from_1_to_21() -> None:
    black, white = (0, 0, 0), (255, 255, 255)
    assert contrast(black, white) == pytest.approx(contrast(white, black)) == pytest.approx(21.0)
    assert contrast(white, white) == pytest.approx(1.0)
