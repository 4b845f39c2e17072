"""The arithmetic of boxes."""

from __future__ import annotations

import pytest
from hypothesis import given
from hypothesis import strategies as st

from regioncap.views import boxes

side = st.floats(-2000, 2000)
box = st.tuples(side, side, side, side).map(
    lambda b: (min(b[0], b[2]), min(b[1], b[3]), max(b[0], b[2]), max(b[1], b[3]))
)


@given(box)
def test_xywh_and_xyxy_are_each_others_inverse(box_xyxy: boxes.Box) -> None:
    again = boxes.xyxy_from_xywh(boxes.xywh_from_xyxy(box_xyxy))

    assert again == pytest.approx(box_xyxy)


@given(box)
def test_clip_xyxy__stays_inside_and_is_idempotent(box_xyxy: boxes.Box) -> None:
    clipped = boxes.clip_xyxy(box_xyxy, (640, 480))

    assert 0 <= clipped[0] <= clipped[2] <= 640
    assert 0 <= clipped[1] <= clipped[3] <= 480
    assert boxes.clip_xyxy(clipped, (640, 480)) == clipped


@given(box, box)
def test_iou_xyxy__symmetric_and_between_0_and_1(a: boxes.Box, b: boxes.Box) -> None:
    iou = boxes.iou_xyxy(a, b)

    assert 0 <= iou <= 1 + 1e-9
    assert iou == boxes.iou_xyxy(b, a)


@pytest.mark.parametrize(
    ("a", "b", "expected"),
    [
        ((0, 0, 10, 10), (0, 0, 10, 10), 1.0),
        ((0, 0, 10, 10), (5, 0, 15, 10), 1 / 3),
        ((0, 0, 10, 10), (10, 0, 20, 10), 0.0),
        ((0, 0, 0, 0), (0, 0, 0, 0), 0.0),
    ],
)
def test_iou_xyxy(a: boxes.Box, b: boxes.Box, expected: float) -> None:
    assert boxes.iou_xyxy(a, b) == pytest.approx(expected)


def test_nms_xyxy__keeps_the_best_of_each_heap() -> None:
    heap = [(0.0, 0, 10, 10), (1.0, 0, 11, 10), (50.0, 50, 60, 60)]

    assert boxes.nms_xyxy(heap, [0.5, 0.9, 0.1], 0.3) == [1, 2]
    assert boxes.nms_xyxy(heap, [0.5, 0.5, 0.5], 0.3) == [0, 2]
    assert boxes.nms_xyxy([], [], 0.3) == []


def test_scale_xyxy() -> None:
    assert boxes.scale_xyxy((10, 20, 30, 40), (100, 100), (50, 200)) == (5, 40, 15, 80)


@pytest.mark.parametrize(
    ("box", "expected"),
    [
        ((1.0, 2.0, 3.0, 4.0), (1, 2, 3, 4)),
        ((1.2, 2.7, 3.1, 4.9), (1, 2, 3, 5)),
        ((0.9999999999, 2.0, 3.0000000001, 4.0), (1, 2, 3, 4)),
        ((-5.0, -5.0, 50.0, 50.0), (0, 0, 10, 8)),
        ((4.0, 4.0, 4.0, 4.0), (4, 4, 5, 5)),
        ((10.0, 8.0, 10.0, 8.0), (9, 7, 10, 8)),
        ((40.0, 40.0, 50.0, 50.0), (9, 7, 10, 8)),
    ],
)
def test_pixel_rect(box: boxes.Box, expected: boxes.Rect) -> None:
    assert boxes.pixel_rect(box, (10, 8)) == expected


@pytest.mark.parametrize(
    ("box", "expected"),
    [
        ((1.2, 2.7, 3.1, 4.9), (1, 2, 4, 5)),
        ((0.9999999999, 2.0, 3.0000000001, 4.0), (1, 2, 3, 4)),
        ((-5.0, -5.0, 50.0, 50.0), (0, 0, 10, 8)),
        ((10.0, 8.0, 10.0, 8.0), (9, 7, 10, 8)),
    ],
)
def test_rect_around(box: boxes.Box, expected: boxes.Rect) -> None:
    assert boxes.rect_around(box, (10, 8)) == expected


@given(box)
def test_whole_pixels_of_a_box_lie_in_the_picture_and_among_those_it_touches(
    box_xyxy: boxes.Box,
) -> None:
    around, inside = (of(box_xyxy, (640, 480)) for of in (boxes.rect_around, boxes.pixel_rect))

    assert boxes.clip_xyxy(around, (640, 480)) == around
    assert around[:2] == inside[:2]
    for start, end, last in zip(inside[:2], inside[2:], around[2:], strict=True):
        assert start < end <= last <= end + 1
