from __future__ import annotations

import numpy as np
import pytest
from hypothesis import given
from hypothesis import strategies as st
from PIL import Image, ImageDraw

from regioncap.errors import UsageError
from regioncap.views.boxes import iou_xyxy, xyxy_from_xywh
from regioncap.views.proposals import METHODS, PixelBox, propose, reading_order

methods = pytest.mark.parametrize("method", METHODS)


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


def scene(*things_xywh: PixelBox) -> Image.Image:
    """Bright things on a dark, slightly noisy ground."""
    noise = np.random.default_rng(5).integers(30, 36, (300, 400, 3), dtype=np.uint8)
    image = Image.fromarray(noise)
    for x, y, w, h in things_xywh:
        image.paste((230, 200, 60), (x, y, x + w, y + h))
    return image


@methods
@given(image=pictures(), max_boxes=st.integers(1, 12))
def test_propose__rules_that_hold_for_every_picture(
    method: str, image: Image.Image, max_boxes: int
) -> None:
    boxes = propose(image, max_boxes, method)

    assert len(boxes) <= max_boxes
    for x, y, w, h in boxes:
        assert all(isinstance(value, int) for value in (x, y, w, h))
        assert min(x, y) >= 0
        assert min(w, h) >= 1
        assert x + w <= image.width
        assert y + h <= image.height
        assert (w, h) != image.size
    corners = [xyxy_from_xywh(box) for box in boxes]
    assert all(iou_xyxy(a, b) <= 0.3 for i, a in enumerate(corners) for b in corners[:i])
    assert boxes == reading_order(boxes)
    assert boxes == propose(image, max_boxes, method)


@methods
def test_propose__finds_things_in_reading_order(method: str) -> None:
    things = [(40, 40, 90, 70), (230, 50, 100, 60), (60, 180, 70, 80), (240, 190, 110, 70)]

    boxes = propose(scene(*things), 10, method)

    assert len(boxes) == len(things)
    for box, thing in zip(boxes, things, strict=True):
        assert iou_xyxy(xyxy_from_xywh(box), xyxy_from_xywh(thing)) > 0.7


@methods
def test_propose__in_pixels_of_a_large_picture(method: str) -> None:
    thing = (600, 450, 800, 600)
    image = Image.new("RGB", (2000, 1500), (40, 40, 40))
    image.paste((230, 200, 60), (600, 450, 1400, 1050))

    (box,) = propose(image, 10, method)

    assert iou_xyxy(xyxy_from_xywh(box), xyxy_from_xywh(thing)) > 0.85


@methods
@pytest.mark.parametrize("size", [(1, 1), (1, 500), (500, 1), (64, 64)])
def test_propose__nothing_in_a_plain_picture(method: str, size: tuple[int, int]) -> None:
    assert propose(Image.new("RGB", size, (120, 130, 90)), 10, method) == []


@methods
def test_propose__never_the_whole_frame(method: str) -> None:
    image = Image.new("RGB", (96, 96), (30, 30, 30))
    ImageDraw.Draw(image).polygon([(48, 0), (95, 48), (48, 95), (0, 48)], (230, 200, 60))
    assert (0, 0, 96, 96) not in propose(image, 10, method)


def test_propose__best_first_when_there_are_too_many() -> None:
    image = scene((40, 40, 90, 70))
    image.paste((60, 55, 50), (230, 190, 330, 260))
    (box,) = propose(image, 1)
    assert box[0] < 100


def test_propose__finds_a_thing_that_outlines_alone_do_not() -> None:
    """A bright thing at the frame: its outline is not closed."""
    image = scene((0, 60, 120, 160))
    assert any(iou_xyxy(xyxy_from_xywh(box), (0, 60, 120, 220)) > 0.8 for box in propose(image, 10))


def test_propose__unknown_method() -> None:
    with pytest.raises(UsageError, match="'magic'") as caught:
        propose(Image.new("RGB", (9, 9)), 3, "magic")
    assert caught.value.code == "unknown-proposal-method"


@pytest.mark.parametrize(
    ("boxes", "ordered"),
    [
        ([], []),
        (
            [(50, 0, 10, 10), (0, 3, 10, 10), (0, 40, 10, 10)],
            [(0, 3, 10, 10), (50, 0, 10, 10), (0, 40, 10, 10)],
        ),
        ([(0, 20, 10, 10), (50, 0, 10, 10)], [(50, 0, 10, 10), (0, 20, 10, 10)]),
    ],
)
def test_reading_order(boxes: list[PixelBox], ordered: list[PixelBox]) -> None:
    assert reading_order(boxes) == ordered
