"""The boxes of a record become regions, each usable or with a reason why not."""

from __future__ import annotations

from typing import Any

import pytest
from hypothesis import given
from hypothesis import strategies as st

from regioncap.errors import RecordError
from regioncap.settings import BoxFormat
from regioncap.views import regions
from regioncap.views.box_formats import FORMATS

SIZE = (640, 427)


@pytest.mark.parametrize(
    ("box", "box_format", "expected_xyxy"),
    [
        ([59, 259, 68, 113], "xywh", (59, 259, 127, 372)),
        ([59, 259, 127, 372], "xyxy", (59, 259, 127, 372)),
        ([0.25, 0, 0.5, 1], "xywh-normalized", (160, 0, 480, 427)),
        ([0.25, 0, 0.75, 1], "xyxy-normalized", (160, 0, 480, 427)),
        ([-10, -20, 30, 40], "xywh", (0, 0, 20, 20)),
        ([600, 400, 100, 100], "xywh", (600, 400, 640, 427)),
        ([0, 0, 1, 1], "xywh", (0, 0, 1, 1)),
        ((1, 2, 3, 4), "xywh", (1, 2, 4, 6)),
        ([100, 50, 40, 20], "cxcywh", (80, 40, 120, 60)),
        ([0.5, 0.5, 0.25, 1], "cxcywh-normalized", (240, 0, 400, 427)),
        ([250, 0, 750, 1000], "xyxy-1000", (160, 0, 480, 427)),
        ([25, 0, 50, 100], "xywh-percent", (160, 0, 480, 427)),
    ],
)
def test_read_box(box: Any, box_format: BoxFormat, expected_xyxy: tuple[float, ...]) -> None:
    assert regions.read_box(box, box_format, SIZE) == expected_xyxy


@pytest.mark.parametrize(
    ("box", "box_format", "words"),
    [
        (None, "xywh", "not four numbers"),
        ("1,2,3,4", "xywh", "not four numbers"),
        ([1, 2, 3], "xywh", "not four numbers"),
        ([1, 2, 3, 4, 5], "xywh", "not four numbers"),
        ([1, 2, 3, "4"], "xywh", "'4' is not a number"),
        ([1, 2, 3, None], "xywh", "None is not a number"),
        ([1, 2, 3, True], "xywh", "True is not a number"),
        ([1, 2, float("nan"), 4], "xywh", "not finite"),
        ([1, 2, float("inf"), 4], "xywh", "not finite"),
        ([1, 2, 10**400, 4], "xywh", "out of range"),
        ([1, 2, 0, 4], "xywh", "no area"),
        ([1, 2, 3, -4], "xywh", "no area"),
        ([50, 50, 20, 20], "xyxy", "has no area"),
        ([0.1, 0.2, 0.5, 0.5], "xywh", "looks normalized"),
        ([10, 20, 50, 50], "xywh-normalized", "is not normalized"),
        ([101, 20, 250, 50], "xywh-percent", "is not in percent"),
        ([500, 20, 2500, 50], "xyxy-1000", "is not in thousandths"),
        ([700, 10, 50, 50], "xywh", "outside the picture of 640x427"),
        ([-60, 10, 50, 50], "xywh", "outside the picture"),
    ],
)
def test_read_box__says_what_is_wrong(box: Any, box_format: BoxFormat, words: str) -> None:
    with pytest.raises(RecordError) as caught:
        regions.read_box(box, box_format, SIZE)

    assert caught.value.code == "bad-box"
    assert words in str(caught.value)


def test_resolve__one_region_per_box_in_order() -> None:
    found = regions.resolve([[1, 2, 3, 4], "no box", [630.5, 0, 20, 10]], "xywh", SIZE)

    assert [region.region for region in found] == [1, 2, 3]
    assert [region.status for region in found] == ["missing", "invalid", "missing"]
    assert [region.bbox for region in found] == [(1, 2, 3, 4), None, (630.5, 0, 9.5, 10)]


def test_normalized_rows__as_the_reference_writes_them() -> None:
    found = regions.resolve([[59, 259, 68, 113], [88, 222, 129, 29]], "xywh", SIZE)

    rows = regions.normalized_rows(found, SIZE, 10)

    assert rows == [
        [0.092, 0.607, 0.198, 0.871],
        [0.138, 0.52, 0.339, 0.588],
        *[[0.0, 0.0, 0.0, 0.0]] * 8,
    ]


def test_boxes_as_xywh__other_formats_come_out_in_pixels() -> None:
    given_boxes = [[0.5, 0.5, 1, 1], "no box"]
    found = regions.resolve(given_boxes, "xyxy-normalized", (100, 200))

    assert regions.boxes_as_xywh(given_boxes, found) == [
        [50, 100, 50, 100],
        "no box",
    ]


numbers = st.one_of(st.integers(), st.floats(), st.text(max_size=2), st.none(), st.booleans())


@given(st.one_of(st.lists(numbers, max_size=6), st.text(max_size=5)), st.sampled_from(
    list(FORMATS)))  # fmt: skip
def test_resolve__a_usable_box_lies_inside_and_has_area(box: Any, box_format: BoxFormat) -> None:
    [region] = regions.resolve([box], box_format, SIZE)

    if region.bbox is None:
        assert region.status == "invalid"
        assert region.why
    else:
        x, y, w, h = region.bbox
        assert 0 <= x <= SIZE[0]
        assert 0 <= y <= SIZE[1]
        assert x + w <= SIZE[0] + 0.01
        assert y + h <= SIZE[1] + 0.01
