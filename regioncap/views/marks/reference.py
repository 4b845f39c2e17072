"""The mark style `reference`: what the Image Region Caption pipeline of DataFlow-MM draws.

Kept to compare with and to repeat older results: a green box two pixels wide, a black tag with
white digits just inside its upper left corner, of one size for all pictures, on a picture darkened
by a fifth. Its tags may hide each other and the box, and may lie partly outside the picture.
"""

from __future__ import annotations

from collections.abc import Sequence
from typing import ClassVar

import numpy as np

from regioncap.views.boxes import Rect, Size
from regioncap.views.marks.base import Mark, Mask, Pixels, blend, fill, grow, ink_of, sides
from regioncap.views.marks.digits import digits_mask, digits_wh
from regioncap.views.marks.palette import BLACK, WHITE

_GREEN = (0, 255, 0)
_LINE_PX = 2
#: The size at which the digits are as high as the reference's, 14 px.
_FONT_PX = 20
#: The digits' lower left corner, from the box's upper left one.
_TEXT_XY = (4, 20)


class ReferenceStyle:
    """Green boxes and black tags of fixed size on a darkened picture."""

    name: ClassVar[str] = "reference"
    shade: ClassVar[float] = 0.8

    def layout(
        self, size_wh: Size, boxes_xyxy: Sequence[Rect], numbers: Sequence[int]
    ) -> list[Mark]:
        """Puts every tag at the same place of its box; see `MarkStyle.layout`."""
        return [
            Mark(
                number=number,
                box_xyxy=box,
                tag_xyxy=_tag(box, len(str(number))),
                line_xyxy=grow(box, 1 - _LINE_PX),
                line_px=_LINE_PX,
                font_px=_FONT_PX,
                rgb=_GREEN,
            )
            for box, number in zip(boxes_xyxy, numbers, strict=True)
        ]

    def draw(self, pixels: Pixels, marks: Sequence[Mark]) -> Pixels:
        """Darkens the picture, then draws box and tag of one region after the other."""
        drawn: Pixels = np.rint(self.shade * np.arange(256)).astype(np.uint8)[pixels]
        for mark in marks:
            # One pixel of the line lies outside the box, the other on it.
            for side in sides(mark.outline_xyxy, mark.line_px):
                fill(drawn, side, mark.rgb)
            fill(drawn, mark.tag_xyxy, BLACK)
            digits = np.asarray(digits_mask(mark.number, mark.font_px, weight=0.4))
            left, bottom = mark.box_xyxy[0] + _TEXT_XY[0], mark.box_xyxy[1] + _TEXT_XY[1]
            blend(drawn, (left + 1, bottom - len(digits)), WHITE, digits)
        return drawn

    def ink(self, size_wh: Size, marks: Sequence[Mark]) -> Mask:
        """Tells which pixels the marks may have been drawn on; see `MarkStyle.ink`."""
        return ink_of(size_wh, marks)


def _tag(box: Rect, digits: int) -> Rect:
    width, height = digits_wh(digits, _FONT_PX)
    left, bottom = box[0] + _TEXT_XY[0], box[1] + _TEXT_XY[1]
    return left, bottom - height - 8, left + width + 3, bottom + 8
