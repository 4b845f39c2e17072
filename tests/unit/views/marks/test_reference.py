"""The style of the reference pipeline, pixel by pixel."""

from __future__ import annotations

import numpy as np

from regioncap.views.marks.reference import ReferenceStyle

STYLE = ReferenceStyle()


def test_tag_lies_at_the_same_place_of_every_box() -> None:
    marks = STYLE.layout((640, 480), [(100, 50, 300, 200), (10, 300, 12, 302)], [1, 2])
    offsets = [(m.tag_xyxy[0] - m.box_xyxy[0], m.tag_xyxy[1] - m.box_xyxy[1]) for m in marks]
    assert offsets == [(4, -2), (4, -2)]
    assert {mark.colour for mark in marks} == {""}


def test_box_is_green_tag_is_black_digits_are_white_and_the_rest_is_darker_by_a_fifth() -> None:
    marks = STYLE.layout((200, 150), [(50, 40, 150, 120)], [3])
    drawn = STYLE.draw(np.full((150, 200, 3), (100, 200, 255), np.uint8), marks)
    assert tuple(drawn[5, 5]) == (80, 160, 204)
    assert [tuple(p) == (0, 255, 0) for p in drawn[100, 47:53]] == [False, False, True, True,
                                                                    False, False]  # fmt: skip
    x1, y1, x2, y2 = marks[0].tag_xyxy
    tag = drawn[y1:y2, x1:x2].reshape(-1, 3)
    assert (tag == 0).all(axis=1).mean() > 0.5
    assert (tag == 255).all(axis=1).any()
