"""The style v1: every line and digit is seen, and the regions themselves are left as they were."""

from __future__ import annotations

import numpy as np
import pytest
from hypothesis import given, settings
from hypothesis import strategies as st
from numpy.typing import NDArray

from regioncap.views.boxes import Rect, Size, intersection_xyxy, pixel_rect
from regioncap.views.marks.base import Mark, fill, grow, sides
from regioncap.views.marks.palette import BLACK, PALETTE, WHITE, contrast, text_rgb
from regioncap.views.marks.v1 import V1Style

STYLE = V1Style()
SIZE_WH: Size = (640, 420)


def lay_out(*boxes: Rect, size_wh: Size = SIZE_WH) -> list[Mark]:
    return STYLE.layout(size_wh, boxes, range(1, len(boxes) + 1))


def draw(marks: list[Mark], ground: tuple[int, int, int] = (90, 120, 150)) -> NDArray[np.uint8]:
    return STYLE.draw(np.full((SIZE_WH[1], SIZE_WH[0], 3), ground, np.uint8), marks)


@st.composite
def crowds(draw: st.DrawFn) -> tuple[Size, list[Rect]]:
    size_wh = draw(st.tuples(st.integers(1, 500), st.integers(1, 500)))
    boxes = []
    for _ in range(draw(st.integers(1, 12))):
        x1, x2 = sorted(draw(st.tuples(*[st.integers(0, size_wh[0])] * 2)))
        y1, y2 = sorted(draw(st.tuples(*[st.integers(0, size_wh[1])] * 2)))
        boxes.append(pixel_rect((x1, y1, x2, y2), size_wh))
    return size_wh, boxes


@given(crowds())
@settings(deadline=None)
def test_tags_never_leave_the_picture(crowd: tuple[Size, list[Rect]]) -> None:
    size_wh, boxes = crowd
    for mark in lay_out(*boxes, size_wh=size_wh):
        x1, y1, x2, y2 = mark.tag_xyxy
        assert 0 <= x1 < x2 <= size_wh[0]
        assert 0 <= y1 < y2 <= size_wh[1]


@given(
    st.lists(
        st.tuples(st.integers(0, 560), st.integers(0, 360), st.integers(1, 80), st.integers(1, 60)),
        min_size=1,
        max_size=10,
    )
)
@settings(deadline=None)
def test_where_there_is_room_tags_hide_neither_each_other_nor_boxes(
    boxes_xywh: list[tuple[int, int, int, int]],
) -> None:
    marks = lay_out(*[(x, y, x + w, y + h) for x, y, w, h in boxes_xywh])
    tags = [mark.tag_xyxy for mark in marks]
    for i, mark in enumerate(marks):
        assert all(intersection_xyxy(tags[i], other) == 0 for other in tags[:i])
        x1, y1, x2, y2 = mark.box_xyxy
        hidden = sum(intersection_xyxy(mark.box_xyxy, tag) for tag in tags)
        assert hidden <= 0.3 * (x2 - x1) * (y2 - y1)


def test_the_region_itself_is_left_as_it_was() -> None:
    x1, y1, x2, y2 = 100, 100, 300, 250
    drawn = draw(lay_out((x1, y1, x2, y2)))
    assert (drawn[y1:y2, x1:x2] == (90, 120, 150)).all()


@pytest.mark.parametrize("box", [(0, 0, 640, 420), (0, 100, 80, 200), (560, 340, 640, 420)])
def test_at_the_border_the_line_s_colour_is_still_seen_on_every_side(box: Rect) -> None:
    mark = lay_out(box)[0]
    drawn = draw([mark])
    x1, y1, x2, y2 = (int(edge) for edge in box)
    middle_x, middle_y = (x1 + x2) // 2, (y1 + y2) // 2
    reach = mark.line_px + 2 * mark.casing_px
    low_x, low_y = max(x1 - reach, 0), max(y1 - reach, 0)
    for cut in (
        drawn[middle_y, low_x : x1 + reach],
        drawn[middle_y, x2 - reach : x2 + reach],
        drawn[low_y : y1 + reach, middle_x],
        drawn[y2 - reach : y2 + reach, middle_x],
    ):
        assert (cut == mark.rgb).all(axis=1).any()


@pytest.mark.parametrize("level", range(0, 256, 15))
def test_every_line_stands_out_on_every_ground(level: int) -> None:
    ground = (level, level, level)
    boxes: list[Rect] = [(30 + 120 * (i % 5), 80 + 200 * (i // 5), 80 + 120 * (i % 5),
                         160 + 200 * (i // 5)) for i in range(10)]  # fmt: skip
    marks = lay_out(*boxes)
    assert {mark.colour for mark in marks} == {colour.name for colour in PALETTE}
    drawn = draw(marks, ground)
    for mark in marks:
        x1, y1, _, y2 = mark.box_xyxy
        row = drawn[(y1 + y2) // 2, x1 - mark.line_px - 2 * mark.casing_px : x1]
        line = {(int(r), int(g), int(b)) for r, g, b in row}
        assert max(contrast(ground, colour) for colour in line) >= 4.5


def test_identical_boxes_each_show_their_line() -> None:
    marks = lay_out(*[(200, 100, 300, 200)] * 3)
    row = draw(marks)[150, :250]
    for mark in marks:
        assert (row == mark.rgb).all(axis=1).sum() == mark.line_px


def test_a_small_box_is_drawn_over_a_large_one_s_line() -> None:
    small, large = lay_out((190, 80, 215, 120), (200, 100, 400, 300))
    drawn = draw([small, large])
    crossing_x = small.box_xyxy[2] + small.casing_px
    crossing_y = large.box_xyxy[1] - large.casing_px - 1
    assert (drawn[crossing_y, crossing_x + 30] == large.rgb).all()
    assert (drawn[crossing_y, crossing_x] == small.rgb).all()


def test_a_tag_that_cannot_be_near_is_tied_to_its_box() -> None:
    marks = lay_out(*[(320 + 8 * (i % 4), 200 + 8 * (i // 4), 324 + 8 * (i % 4),
                       204 + 8 * (i // 4)) for i in range(16)])  # fmt: skip
    tied = [mark for mark in marks if mark.leader]
    assert tied
    drawn = draw(marks)
    ink = STYLE.ink(SIZE_WH, marks)
    for mark in tied:
        assert mark.leader is not None
        for x, y in mark.leader:
            assert ink[y, x]
            assert (drawn[y, x] != (90, 120, 150)).any()


@pytest.mark.parametrize(
    ("size_wh", "line_px", "font_px"),
    [((28, 28), 1, 8), ((224, 224), 2, 20), ((640, 420), 3, 20), ((1280, 960), 4, 27),
     ((4000, 3000), 8, 40)],
)  # fmt: skip
def test_lines_and_digits_grow_with_the_picture(size_wh: Size, line_px: int, font_px: int) -> None:
    mark = lay_out((5, 5, 9, 9), size_wh=size_wh)[0]
    assert (mark.line_px, mark.font_px) == (line_px, font_px)


def test_tags_grow_with_their_digits() -> None:
    marks = STYLE.layout(SIZE_WH, [(100, 100, 200, 200)] * 3, [7, 42, 999])
    widths = [mark.tag_xyxy[2] - mark.tag_xyxy[0] for mark in marks]
    assert widths == sorted(set(widths))


def test_digits_differ_from_number_to_number() -> None:
    def tag(number: int) -> bytes:
        marks = STYLE.layout(SIZE_WH, [(100, 100, 200, 200)], [number])
        x1, y1, x2, y2 = marks[0].tag_xyxy
        return draw(marks)[y1:y2, x1:x2].tobytes()

    assert len({tag(number) for number in range(10)}) == 10


def test_colours_carry_their_names() -> None:
    by_name = {colour.name: colour.rgb for colour in PALETTE}
    for mark in lay_out((10, 10, 50, 50), (100, 100, 150, 150)):
        assert by_name[mark.colour] == mark.rgb


@pytest.mark.parametrize("box", [(200, 100, 400, 300), (0, 0, 640, 420), (630, 2, 640, 40)])
def test_a_line_is_three_frames_one_inside_the_other(box: Rect) -> None:
    (mark,) = lay_out(box)
    outside = text_rgb(mark.rgb)
    inside = BLACK if outside == WHITE else WHITE
    expected = draw([])
    reach = mark.line_px + 2 * mark.casing_px
    for px, rgb in ((mark.casing_px, outside), (mark.line_px, mark.rgb), (mark.casing_px, inside)):
        for side in sides(grow(mark.line_xyxy, reach), px):
            fill(expected, side, rgb)
        reach -= px
    drawn = draw([mark])
    fill(drawn, mark.tag_xyxy, BLACK)
    fill(expected, mark.tag_xyxy, BLACK)
    assert (drawn == expected).all()
