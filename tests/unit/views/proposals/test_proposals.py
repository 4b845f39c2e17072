"""Proposed boxes: things that stand out, in reading order, and none where there is nothing."""

from __future__ import annotations

import numpy as np
import pytest
from hypothesis import given
from hypothesis import strategies as st
from PIL import Image, ImageDraw

from regioncap.views.boxes import Box, Rect, Size, iou_xyxy, scale_xyxy
from regioncap.views.proposals import propose, reading_order


@st.composite
def pictures(draw: st.DrawFn) -> Image.Image:
    """Rectangles and ellipses of any colour on a plain or noisy ground, of any small size."""
    size = draw(st.tuples(st.integers(1, 160), st.integers(1, 160)))
    rng = np.random.default_rng(draw(st.integers(0, 2**32 - 1)))
    noise = draw(st.sampled_from([1, 30, 256]))
    image = Image.fromarray(rng.integers(0, noise, (size[1], size[0], 3), dtype=np.uint8))
    canvas = ImageDraw.Draw(image)
    for _ in range(draw(st.integers(0, 6))):
        x1, x2 = sorted(rng.integers(0, size[0], 2).tolist())
        y1, y2 = sorted(rng.integers(0, size[1], 2).tolist())
        fill = tuple(rng.integers(0, 256, 3).tolist())
        (canvas.ellipse if rng.random() < 0.5 else canvas.rectangle)((x1, y1, x2, y2), fill)
    return image


def in_pixels(box: Box, size_wh: Size) -> Box:
    return scale_xyxy(box, (1, 1), size_wh)


def scene(*things_xyxy: Rect) -> Image.Image:
    """Bright things on a dark, slightly noisy ground."""
    noise = np.random.default_rng(5).integers(30, 36, (300, 400, 3), dtype=np.uint8)
    image = Image.fromarray(noise)
    for thing in things_xyxy:
        image.paste((230, 200, 60), thing)
    return image


@given(image=pictures(), max_boxes=st.integers(1, 12))
def test_propose__rules_that_hold_for_every_picture(image: Image.Image, max_boxes: int) -> None:
    boxes = propose(image, max_boxes)

    assert len(boxes) <= max_boxes
    for x1, y1, x2, y2 in boxes:
        assert 0 <= x1 < x2 <= 1
        assert 0 <= y1 < y2 <= 1
        assert (x1, y1, x2, y2) != (0, 0, 1, 1)
    assert all(iou_xyxy(a, b) <= 0.3 for i, a in enumerate(boxes) for b in boxes[:i])
    assert boxes == reading_order(boxes)
    assert boxes == propose(image, max_boxes)


def test_propose__finds_things_in_reading_order() -> None:
    things = [(40, 40, 130, 110), (230, 50, 330, 110), (60, 180, 130, 260), (240, 190, 350, 260)]

    boxes = propose(scene(*things), 10)

    assert len(boxes) == len(things)
    for box, thing in zip(boxes, things, strict=True):
        assert iou_xyxy(in_pixels(box, (400, 300)), thing) > 0.7


def test_propose__in_pixels_of_a_large_picture() -> None:
    thing = (600, 450, 1400, 1050)
    image = Image.new("RGB", (2000, 1500), (40, 40, 40))
    image.paste((230, 200, 60), thing)

    (box,) = propose(image, 10)

    assert iou_xyxy(in_pixels(box, image.size), thing) > 0.85


@pytest.mark.parametrize("size", [(1, 1), (1, 500), (500, 1), (64, 64)])
def test_propose__nothing_in_a_plain_picture(size: tuple[int, int]) -> None:
    assert propose(Image.new("RGB", size, (120, 130, 90)), 10) == []


def test_propose__never_the_whole_frame() -> None:
    image = Image.new("RGB", (96, 96), (30, 30, 30))
    ImageDraw.Draw(image).polygon([(48, 0), (95, 48), (48, 95), (0, 48)], (230, 200, 60))
    assert (0, 0, 1, 1) not in propose(image, 10)


def test_propose__best_first_when_there_are_too_many() -> None:
    image = scene((40, 40, 130, 110))
    image.paste((60, 55, 50), (230, 190, 330, 260))
    (box,) = propose(image, 1)
    assert box[0] < 0.25


def test_propose__finds_a_thing_that_outlines_alone_do_not() -> None:
    """A bright thing at the frame: its outline is not closed."""
    image = scene((0, 60, 120, 220))
    found = [in_pixels(box, image.size) for box in propose(image, 10)]
    assert any(iou_xyxy(box, (0, 60, 120, 220)) > 0.8 for box in found)


@pytest.mark.parametrize(
    ("boxes", "ordered"),
    [
        ([], []),
        (
            [(50, 0, 60, 10), (0, 3, 10, 13), (0, 40, 10, 50)],
            [(0, 3, 10, 13), (50, 0, 60, 10), (0, 40, 10, 50)],
        ),
        ([(0, 20, 10, 30), (50, 0, 60, 10)], [(50, 0, 60, 10), (0, 20, 10, 30)]),
    ],
)
def test_reading_order(boxes: list[Box], ordered: list[Box]) -> None:
    assert reading_order(boxes) == ordered
