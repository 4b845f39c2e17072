"""Tags lie near their boxes, off each other, and bury none."""

from __future__ import annotations

import pytest

from regioncap.views.boxes import Rect, Size, intersection_xyxy
from regioncap.views.marks.base import Segment, grow
from regioncap.views.marks.placement import Placer, leader_between

SIZE_WH: Size = (400, 300)
TAG_WH: Size = (20, 24)


def place(boxes: list[Rect]) -> list[Rect]:
    return Placer(SIZE_WH, boxes, boxes, [TAG_WH] * len(boxes), lap_px=0).place()


@pytest.mark.parametrize(
    ("box", "tag"),
    [
        ((100, 100, 200, 200), (100, 76, 120, 100)),  # above, on the left
        ((390, 100, 400, 200), (380, 76, 400, 100)),  # above, on the right
        ((100, 0, 140, 30), (100, 30, 120, 54)),  # below a small box at the top
        ((0, 0, 400, 300), (0, 0, 20, 24)),  # inside a box that leaves no room
    ],
)
def test_first_choices(box: Rect, tag: Rect) -> None:
    assert place([box]) == [tag]


def test_smaller_box_chooses_first() -> None:
    tags = place([(100, 100, 200, 200), (100, 100, 140, 140)])
    assert tags[1] == (100, 76, 120, 100)
    assert tags[0] != tags[1]


def test_tags_keep_off_each_other_where_all_boxes_are_one() -> None:
    tags = place([(190, 140, 200, 150)] * 12)
    for i, tag in enumerate(tags):
        assert all(intersection_xyxy(grow(tag, 2), other) == 0 for other in tags[:i])


def test_a_tag_that_must_leave_its_box_stays_near() -> None:
    for tag in place([(190, 140, 200, 150)] * 20):
        apart_x = max(tag[0] - 200, 190 - tag[2], 0)
        apart_y = max(tag[1] - 150, 140 - tag[3], 0)
        assert max(apart_x, apart_y) <= 3 * TAG_WH[1]


def test_a_tag_does_not_move_for_a_sliver_of_another_box() -> None:
    assert place([(100, 100, 130, 130), (0, 95, 105, 300)])[0] == (100, 76, 120, 100)


def test_no_box_in_a_crowd_is_buried() -> None:
    boxes = [(150 + 16 * i, 100 + 16 * j, 160 + 16 * i, 110 + 16 * j)
             for i in range(4) for j in range(4)]  # fmt: skip
    tags = place(boxes)
    for box in boxes:
        assert sum(intersection_xyxy(box, tag) for tag in tags) <= 0.3 * 100


def test_several_tags_together_do_not_bury_a_box() -> None:
    boxes: list[Rect] = [(109, 59, 157, 114), (109, 24, 157, 76), (121, 23, 152, 75),
                         (77, 18, 103, 66), (10, 50, 35, 104)]  # fmt: skip
    tags = Placer((160, 120), boxes, boxes, [TAG_WH] * 5, lap_px=0).place()
    for x1, y1, x2, y2 in boxes:
        hidden = sum(intersection_xyxy((x1, y1, x2, y2), tag) for tag in tags)
        assert hidden <= 0.3 * (x2 - x1) * (y2 - y1)


def test_a_tag_keeps_off_another_box_s_line() -> None:
    small, big = (100, 100, 130, 130), (90, 40, 300, 92)
    tag = place([small, big])[0]
    assert intersection_xyxy(tag, big) == 0


def test_a_tag_keeps_off_another_box_s_casing() -> None:
    small, big = (100, 100, 130, 130), (90, 40, 300, 70)
    lined = grow(big, 8)
    alone = Placer(SIZE_WH, [small, big], [small, big], [TAG_WH] * 2, 0).place()[0]
    beside = Placer(SIZE_WH, [small, big], [small, lined], [TAG_WH] * 2, 0).place()[0]
    assert intersection_xyxy(alone, lined) > 0
    assert intersection_xyxy(beside, lined) == 0


def test_a_picture_full_of_tags_still_gets_them_all() -> None:
    tags = Placer((20, 24), [(0, 0, 20, 24)] * 3, [(0, 0, 20, 24)] * 3, [TAG_WH] * 3, 0).place()
    assert tags == [(0, 0, 20, 24)] * 3


def test_no_boxes_take_no_tags() -> None:
    assert place([]) == []


@pytest.mark.parametrize(
    ("tag", "leader"),
    [
        ((100, 76, 120, 100), None),  # edge to edge
        ((110, 110, 130, 134), None),  # inside
        ((100, 40, 120, 64), ((109, 63), (109, 100))),  # straight down
        ((20, 110, 40, 130), ((39, 119), (100, 119))),  # straight to the right
        ((220, 220, 240, 244), ((220, 220), (199, 199))),  # corner to corner
    ],
)
def test_leader(tag: Rect, leader: Segment | None) -> None:
    assert leader_between(tag, (100, 100, 200, 200)) == leader


def test_grow_moves_every_side() -> None:
    assert grow((10, 20, 30, 40), 3) == (7, 17, 33, 43)
