"""Ink is laid where it is meant, and nowhere else."""

from __future__ import annotations

import numpy as np
import pytest

from regioncap.views.boxes import Rect
from regioncap.views.marks.base import blend, fill, fill_rows, sides


@pytest.mark.parametrize(
    ("rect", "count"),
    [((1, 1, 3, 4), 6), ((-5, -5, 2, 2), 4), ((-5, -5, -1, -1), 0), ((8, 0, 99, 2), 4),
     ((3, 3, 3, 9), 0)],
)  # fmt: skip
def test_fill_fills_what_lies_inside(rect: Rect, count: int) -> None:
    mask = np.zeros((8, 10), dtype=np.bool_)
    fill(mask, rect, True)
    assert mask.sum() == count


@pytest.mark.parametrize(
    "rect", [(1, 1, 3, 4), (-2, -5, 2, 2), (7, 0, 13, 3), (-3, 2, 12, 99), (10, 0, 12, 2)]
)
def test_fill_rows_repeats_a_row_and_keeps_its_place(rect: Rect) -> None:
    x1, y1, x2, y2 = rect
    target = np.zeros((8, 10, 3), dtype=np.uint8)
    row = np.arange(1, 3 * (x2 - x1) + 1, dtype=np.uint8)
    fill_rows(target.reshape(8, 30), rect, row)
    for y in range(8):
        for x in range(10):
            inside = x1 <= x < x2 and y1 <= y < y2
            at = 3 * (x - x1)
            assert target[y, x].tolist() == (row[at : at + 3].tolist() if inside else [0, 0, 0])


def test_sides_make_a_frame_of_the_width() -> None:
    mask = np.zeros((8, 10), dtype=np.bool_)
    for side in sides((1, 1, 9, 7), 2):
        fill(mask, side, True)
    expected = np.zeros_like(mask)
    expected[1:7, 1:9] = True
    expected[3:5, 3:7] = False
    assert (mask == expected).all()


@pytest.mark.parametrize("xy", [(1, 1), (-2, -1), (3, 2), (0, -3)])
def test_blend_lays_ink_by_its_coverage_and_stays_inside(xy: tuple[int, int]) -> None:
    coverage = np.array([[255, 128, 0], [64, 255, 1], [0, 0, 255]], dtype=np.uint8)
    ink = (200, 10, 0)
    target = np.full((4, 5, 3), 100, dtype=np.uint8)
    blend(target, xy, ink, coverage)
    for y in range(4):
        for x in range(5):
            row, column = y - xy[1], x - xy[0]
            inside = 0 <= row < 3 and 0 <= column < 3
            share = coverage[row, column] / 255 if inside else 0.0
            wanted = [round(100 + share * (level - 100)) for level in ink]
            assert target[y, x].tolist() == wanted


def test_blend_far_outside_changes_nothing() -> None:
    target = np.full((4, 5, 3), 100, dtype=np.uint8)
    blend(target, (9, 9), (0, 0, 0), np.full((2, 2), 255, dtype=np.uint8))
    assert (target == 100).all()
