"""A crop holds its region, with some of what is around it."""

from __future__ import annotations

import numpy as np
import pytest
from hypothesis import given
from hypothesis import strategies as st

from regioncap.views.boxes import Box, Size
from regioncap.views.crops import MAX_ASPECT, MAX_PIXELS, MIN_SIDE_PX, cut, window
from tests.support.records import coloured


@st.composite
def picture_and_box(draw: st.DrawFn) -> tuple[Size, Box]:
    width, height = draw(st.integers(1, 3000)), draw(st.integers(1, 3000))
    x = draw(st.floats(0, width - 0.5))
    y = draw(st.floats(0, height - 0.5))
    w = draw(st.floats(0.1, width - x + 0.1))
    h = draw(st.floats(0.1, height - y + 0.1))
    return (width, height), (x, y, min(x + w, width), min(y + h, height))


@given(picture_and_box())
def test_window_lies_in_the_picture_and_holds_the_region(case: tuple[Size, Box]) -> None:
    size, box = case

    x1, y1, x2, y2 = window(box, size)

    assert 0 <= x1 < x2 <= size[0]
    assert 0 <= y1 < y2 <= size[1]
    assert x1 <= box[0] + 1e-5
    assert x2 >= box[2] - 1e-5
    assert y1 <= box[1] + 1e-5
    assert y2 >= box[3] - 1e-5


@given(picture_and_box())
def test_window_is_large_enough_and_not_too_thin(case: tuple[Size, Box]) -> None:
    size, box = case

    x1, y1, x2, y2 = window(box, size)
    wide, high = x2 - x1, y2 - y1

    assert wide >= min(MIN_SIDE_PX, size[0])
    assert high >= min(MIN_SIDE_PX, size[1])
    assert high >= min(wide / MAX_ASPECT, size[1]) - 1
    assert wide >= min(high / MAX_ASPECT, size[0]) - 1


@pytest.mark.parametrize(
    ("box", "size", "expected"),
    [
        ((400, 400, 500, 500), (1000, 1000), (375, 375, 525, 525)),
        ((0, 0, 100, 100), (1000, 1000), (0, 0, 150, 150)),
        ((900, 950, 1000, 1000), (1000, 1000), (850, 925, 1000, 1000)),
        ((500, 500, 504, 504), (1000, 1000), (478, 478, 526, 526)),
        ((0, 0, 1000, 1000), (1000, 1000), (0, 0, 1000, 1000)),
        ((100, 500, 900, 510), (1000, 1000), (0, 355, 1000, 655)),
    ],
)
def test_window(box: Box, size: Size, expected: Box) -> None:
    assert window(box, size) == expected


@pytest.mark.parametrize("box", [(300, 200, 320, 216), (0, 0, 640, 480), (10, 470, 600, 480)])
def test_crop_shows_the_region_where_it_says(box: tuple[int, int, int, int]) -> None:
    image = np.asarray(coloured((640, 480), {box: (200, 20, 20)}))

    crop, (x1, y1, x2, y2) = cut(image, box, max_pixels=1_003_520)

    pixels = np.asarray(crop)
    assert pixels[y1 + 2 : y2 - 2, x1 + 2 : x2 - 2, 0].mean() > 190
    outside = np.ones(pixels.shape[:2], bool)
    outside[max(y1 - 3, 0) : y2 + 3, max(x1 - 3, 0) : x2 + 3] = False
    assert not outside.any() or pixels[outside][:, 0].max() < 150


def test_small_region_is_enlarged_and_a_large_one_kept_in_bounds() -> None:
    image = np.asarray(coloured((3000, 2000), {}))

    small, box = cut(image, (100, 100, 130, 120), max_pixels=1_003_520)
    large, _ = cut(image, (0, 0, 3000, 2000), max_pixels=1_003_520)
    least, _ = cut(image, (0, 0, 3000, 2000), max_pixels=100_000)

    assert box[2] - box[0] > 5 * 30
    assert all(side % 28 == 0 for side in (*small.size, *large.size))
    assert large.width * large.height <= MAX_PIXELS
    assert least.width * least.height <= 100_000
