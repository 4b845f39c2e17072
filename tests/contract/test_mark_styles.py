"""What every mark style promises, whatever the picture and the boxes."""

from __future__ import annotations

import re

import numpy as np
import pytest
from hypothesis import given, settings
from hypothesis import strategies as st
from numpy.typing import NDArray

from regioncap.errors import UsageError
from regioncap.views.boxes import Rect, Size, pixel_rect
from regioncap.views.marks import DEFAULT, STYLES, MarkStyle, get
from regioncap.views.marks.base import Pixels

styles = pytest.mark.parametrize("style", STYLES.values(), ids=STYLES.keys())


@st.composite
def scenes(draw: st.DrawFn) -> tuple[Size, list[Rect], list[int]]:
    """A picture's size, boxes in it of any size, some of them identical, and their numbers."""
    size_wh = draw(st.tuples(st.integers(1, 300), st.integers(1, 300)))
    boxes: list[Rect] = []
    for _ in range(draw(st.integers(0, 8))):
        if boxes and draw(st.integers(0, 2)) == 0:
            boxes.append(boxes[-1])
            continue
        x1, x2 = sorted(draw(st.tuples(*[st.floats(0, size_wh[0])] * 2)))
        y1, y2 = sorted(draw(st.tuples(*[st.floats(0, size_wh[1])] * 2)))
        boxes.append(pixel_rect((x1, y1, x2, y2), size_wh))
    numbers = draw(st.lists(st.integers(1, 999), min_size=len(boxes), max_size=len(boxes)))
    return size_wh, boxes, numbers


def noise(size_wh: Size) -> Pixels:
    rng = np.random.default_rng(7)
    return rng.integers(0, 256, (size_wh[1], size_wh[0], 3), dtype=np.uint8)


def wide(pixels: Pixels) -> NDArray[np.int16]:
    """Room for differences."""
    return pixels.astype(np.int16)


@styles
def test_name_is_the_one_it_is_registered_under(style: MarkStyle) -> None:
    assert get(style.name) is style


@styles
@given(scene=scenes())
@settings(max_examples=60, deadline=None)
def test_layout_keeps_order_numbers_and_boxes(
    style: MarkStyle, scene: tuple[Size, list[Rect], list[int]]
) -> None:
    size_wh, boxes, numbers = scene
    marks = style.layout(size_wh, boxes, numbers)
    assert [mark.number for mark in marks] == numbers
    for mark, box in zip(marks, boxes, strict=True):
        assert mark.box_xyxy == box


@styles
@given(scene=scenes())
@settings(max_examples=40, deadline=None)
def test_layout_is_the_same_every_time(
    style: MarkStyle, scene: tuple[Size, list[Rect], list[int]]
) -> None:
    assert style.layout(*scene) == style.layout(*scene)


@styles
@given(scene=scenes())
@settings(max_examples=80, deadline=None)
def test_draw_changes_no_pixel_outside_the_ink(
    style: MarkStyle, scene: tuple[Size, list[Rect], list[int]]
) -> None:
    size_wh, boxes, numbers = scene
    image = noise(size_wh)
    marks = style.layout(size_wh, boxes, numbers)
    drawn, ink = style.draw(image, marks), style.ink(size_wh, marks)
    assert ink.shape == (size_wh[1], size_wh[0])
    assert ink.dtype == np.bool_
    ground = np.rint(wide(image) * style.shade).astype(np.int16)
    changed = (wide(drawn) != ground).any(axis=2)
    assert not (changed & ~ink).any()


@styles
def test_ink_is_close_to_what_is_drawn(style: MarkStyle) -> None:
    """Ink that covers all of the picture would keep the promise above and be of no use."""
    size_wh: Size = (320, 240)
    marks = style.layout(size_wh, [(40, 60, 140, 160), (200, 100, 260, 200)], [1, 2])
    image = np.full((size_wh[1], size_wh[0], 3), (110, 130, 120), np.uint8)
    changed = (wide(style.draw(image, marks)) != wide(style.draw(image, []))).any(axis=2)
    ink = style.ink(size_wh, marks)
    assert ink.sum() <= 1.05 * changed.sum()


@styles
def test_draw_leaves_its_argument_as_it_was(style: MarkStyle) -> None:
    image = noise((120, 90))
    before = image.tobytes()
    drawn = style.draw(image, style.layout((120, 90), [(10, 30, 60, 70)], [1]))
    assert drawn.dtype == np.uint8
    assert drawn.shape == image.shape
    assert image.tobytes() == before != drawn.tobytes()


@styles
def test_no_boxes_draw_nothing(style: MarkStyle) -> None:
    image = noise((64, 48))
    assert style.layout((64, 48), [], []) == []
    assert not style.ink((64, 48), []).any()
    expected = np.rint(wide(image) * style.shade)
    assert (wide(style.draw(image, [])) == expected).all()


@styles
@pytest.mark.parametrize("size_wh", [(28, 28), (1, 1), (2000, 3), (3, 2000), (224, 224)])
def test_awkward_pictures_and_boxes_are_drawn(style: MarkStyle, size_wh: Size) -> None:
    w, h = size_wh
    boxes: list[Rect] = [
        (0, 0, w, h),
        (0, 0, 1, 1),
        (w - 1, h - 1, w, h),
        (0, 0, w, h),
    ]
    marks = style.layout(size_wh, boxes, [1, 22, 333, 4])
    assert style.draw(noise(size_wh), marks).shape == (h, w, 3)
    assert style.ink(size_wh, marks).any()


@styles
def test_layout_refuses_boxes_without_numbers(style: MarkStyle) -> None:
    with pytest.raises(ValueError, match=r"zip"):
        style.layout((100, 80), [(0, 0, 10, 10)], [])


def test_unknown_style_is_refused_by_name() -> None:
    with pytest.raises(UsageError, match=re.escape("'v0'")) as caught:
        get("v0")
    assert caught.value.code == "unknown-mark-style"
    assert all(name in caught.value.hint for name in STYLES)


def test_default_style_is_known() -> None:
    assert get(DEFAULT).name == DEFAULT
