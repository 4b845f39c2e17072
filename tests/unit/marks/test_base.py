from __future__ import annotations

import numpy as np
import pytest

from regioncap.boxes import Box
from regioncap.marks.base import Rect, fill_mask, pixel_rect


@pytest.mark.parametrize(
    ("box", "expected"),
    [
        ((1.0, 2.0, 3.0, 4.0), (1, 2, 3, 4)),
        ((1.2, 2.7, 3.1, 4.9), (1, 2, 4, 5)),
        ((0.9999999999, 2.0, 3.0000000001, 4.0), (1, 2, 3, 4)),
        ((-5.0, -5.0, 50.0, 50.0), (0, 0, 10, 8)),
        ((4.0, 4.0, 4.0, 4.0), (4, 4, 5, 5)),
        ((10.0, 8.0, 10.0, 8.0), (9, 7, 10, 8)),
        ((40.0, 40.0, 50.0, 50.0), (9, 7, 10, 8)),
    ],
)
def test_pixel_rect(box: Box, expected: Rect) -> None:
    assert pixel_rect(box, (10, 8)) == expected


@pytest.mark.parametrize(
    ("rect", "count"),
    [((1, 1, 3, 4), 6), ((-5, -5, 2, 2), 4), ((-5, -5, -1, -1), 0), ((8, 0, 99, 2), 4),
     ((3, 3, 3, 9), 0)],
)  # fmt: skip
def test_fill_mask_fills_what_lies_inside(rect: Rect, count: int) -> None:
    mask = np.zeros((8, 10), dtype=np.bool_)
    fill_mask(mask, rect)
    assert mask.sum() == count
