"""The mark style `reference`: what the Image Region Caption pipeline of DataFlow-MM draws.

Kept to compare with and to repeat older results: a green box two pixels wide, a black tag with
white digits just inside its upper left corner, of one size for all pictures, on a picture darkened
by a fifth. Its tags may hide each other and the box, and may lie partly outside the picture.
"""

from __future__ import annotations

from collections.abc import Sequence
from typing import ClassVar

import numpy as np
from PIL import Image, ImageDraw

from regioncap.boxes import Box, Size
from regioncap.marks.base import Mark, Mask, Rect, fill_mask, grow, pixel_rect
from regioncap.marks.digits import digits_mask, digits_wh
from regioncap.marks.palette import BLACK, WHITE

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
        self, size_wh: Size, boxes_xyxy: Sequence[Box], numbers: Sequence[int]
    ) -> list[Mark]:
        """Puts every tag at the same place of its box; see `MarkStyle.layout`."""
        boxes = [pixel_rect(box, size_wh) for box in boxes_xyxy]
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
            for box, number in zip(boxes, numbers, strict=True)
        ]

    def draw(self, image: Image.Image, marks: Sequence[Mark]) -> Image.Image:
        """Darkens the picture, then draws box and tag of one region after the other."""
        drawn = image.point([round(self.shade * (level % 256)) for level in range(3 * 256)])
        canvas = ImageDraw.Draw(drawn)
        for mark in marks:
            x1, y1, x2, y2 = _outline(mark)
            canvas.rectangle((x1, y1, x2 - 1, y2 - 1), outline=mark.rgb, width=mark.line_px)
            x1, y1, x2, y2 = mark.tag_xyxy
            canvas.rectangle((x1, y1, x2 - 1, y2 - 1), fill=BLACK)
            digits = digits_mask(mark.number, mark.font_px, weight=0.4)
            left, bottom = mark.box_xyxy[0] + _TEXT_XY[0], mark.box_xyxy[1] + _TEXT_XY[1]
            drawn.paste(WHITE, (left + 1, bottom - digits.height), digits)
        return drawn

    def ink(self, size_wh: Size, marks: Sequence[Mark]) -> Mask:
        """Tells which pixels the marks may have been drawn on; see `MarkStyle.ink`."""
        mask = np.zeros((size_wh[1], size_wh[0]), dtype=np.bool_)
        for mark in marks:
            outline = _outline(mark)
            for side in _sides(outline, mark.line_px):
                fill_mask(mask, side)
            fill_mask(mask, mark.tag_xyxy)
        return mask


def _tag(box: Rect, digits: int) -> Rect:
    width, height = digits_wh(digits, _FONT_PX)
    left, bottom = box[0] + _TEXT_XY[0], box[1] + _TEXT_XY[1]
    return left, bottom - height - 8, left + width + 3, bottom + 8


def _outline(mark: Mark) -> Rect:
    """The line's outer edge: one pixel of the line lies outside the box, the other on it."""
    return grow(mark.line_xyxy, mark.line_px)


def _sides(outline: Rect, px: int) -> list[Rect]:
    x1, y1, x2, y2 = outline
    return [
        (x1, y1, x2, y1 + px),
        (x1, y2 - px, x2, y2),
        (x1, y1, x1 + px, y2),
        (x2 - px, y1, x2, y2),
    ]
