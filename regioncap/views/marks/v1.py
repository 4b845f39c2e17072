"""The mark style `v1`: made to be read by models and people, and to hide little.

Lines lie outside the region where there is room and carry both black and white, so that one of
the two stands out on any ground. Tags hold the box's colour and black or white digits. Nothing
else in the picture changes.
"""

from __future__ import annotations

from collections.abc import Sequence
from functools import lru_cache
from typing import ClassVar

import numpy as np
from PIL import Image, ImageDraw

from regioncap.views.boxes import Rect, Size, area_xyxy, pixel_rect
from regioncap.views.marks.base import (
    Mark,
    Mask,
    Pixels,
    Rgb,
    Segment,
    Stamp,
    blend,
    fill_rows,
    grow,
    ink_of,
    print_stamp,
)
from regioncap.views.marks.digits import digits_mask, digits_wh
from regioncap.views.marks.palette import BLACK, WHITE, assign_colours, text_rgb
from regioncap.views.marks.placement import Placer, leader_between
from regioncap.views.pixels import size_of

#: Reach beyond the line's inner edge, width, colour.
Rings = tuple[tuple[int, int, Rgb], ...]

#: Where there is no room outside a box, its line may take this share of the box's side.
_MAX_INTRUSION = 0.15
#: Round corners and slanted lines are drawn this many times larger, then scaled down.
_FINE = 4


class V1Style:
    """Cased lines in ten nameable colours, and tags that keep clear of each other."""

    name: ClassVar[str] = "v1"
    shade: ClassVar[float] = 1.0

    def layout(
        self, size_wh: Size, boxes_xyxy: Sequence[Rect], numbers: Sequence[int]
    ) -> list[Mark]:
        """Decides where marks go; see `MarkStyle.layout`."""
        line_px, casing_px, font_px = _line_px(size_wh), _casing_px(size_wh), _font_px(size_wh)
        total_px = line_px + 2 * casing_px
        lines = [
            _line_edge(grow(box, rank * total_px), size_wh, total_px)
            for box, rank in zip(boxes_xyxy, _ranks(boxes_xyxy, total_px), strict=True)
        ]
        outlines = [pixel_rect(grow(line, total_px), size_wh) for line in lines]
        sizes = [
            _fitted(_tag_wh(len(str(number)), font_px, casing_px), size_wh)
            for _, number in zip(boxes_xyxy, numbers, strict=True)
        ]
        tags = Placer(size_wh, boxes_xyxy, outlines, sizes, casing_px).place()
        colours = assign_colours(boxes_xyxy, near_px=2 * font_px)
        return [
            Mark(
                number=number,
                box_xyxy=box,
                tag_xyxy=tag,
                line_xyxy=line,
                line_px=line_px,
                font_px=font_px,
                rgb=colour.rgb,
                colour=colour.name,
                casing_px=casing_px,
                leader=leader_between(tag, outline),
            )
            for number, box, tag, line, outline, colour in zip(
                numbers, boxes_xyxy, tags, lines, outlines, colours, strict=True
            )
        ]

    def draw(self, pixels: Pixels, marks: Sequence[Mark]) -> Pixels:
        """Draws boxes from the largest to the smallest, then leaders, then tags."""
        drawn = pixels.copy()
        rows = drawn.reshape(len(drawn), -1, copy=False)
        for mark in sorted(marks, key=lambda mark: area_xyxy(mark.box_xyxy), reverse=True):
            _draw_line(rows, mark)
        for mark in marks:
            if mark.leader:
                _draw_leader(drawn, mark, mark.leader)
        for mark in marks:
            x1, y1, x2, y2 = mark.tag_xyxy
            size_wh = x2 - x1, y2 - y1
            tag = _tag(mark.number, mark.rgb, mark.font_px, mark.casing_px, size_wh)
            print_stamp(drawn, (x1, y1), tag)
        return drawn

    def ink(self, size_wh: Size, marks: Sequence[Mark]) -> Mask:
        """Tells which pixels the marks may have been drawn on; see `MarkStyle.ink`."""
        mask = ink_of(size_wh, marks)
        for mark in marks:
            if mark.leader:
                (x, y), stroke = _stroke(mark.leader, mark.total_px, size_wh)
                height, width = stroke.shape
                mask[y : y + height, x : x + width] |= stroke > 0
        return mask


def _line_px(size_wh: Size) -> int:
    """A third of ViP-LLaVA's 3 px per 336 px: up to ten marks share the picture here."""
    if min(size_wh) < 112:
        return 1
    return min(max(round(max(size_wh) / 336), 2 if min(size_wh) < 300 else 3), 8)


def _casing_px(size_wh: Size) -> int:
    return max(1, round(_line_px(size_wh) / 4))


def _font_px(size_wh: Size) -> int:
    """Digits at least one 14 px patch high where the picture is not tiny itself."""
    wanted = min(max(round(0.028 * min(size_wh)), 20), 40)
    return max(8, min(wanted, round(0.12 * min(size_wh))))


@lru_cache(maxsize=256)
def _tag_wh(digits: int, font_px: int, casing_px: int) -> Size:
    width, height = digits_wh(digits, font_px)
    pad_x, pad_y = max(2, round(0.26 * font_px)), max(2, round(0.2 * font_px))
    return width + 2 * (pad_x + casing_px), height + 2 * (pad_y + casing_px)


def _fitted(tag_wh: Size, size_wh: Size) -> Size:
    """Scales a tag down to fit a picture that is smaller."""
    scale = min(1.0, size_wh[0] / tag_wh[0], size_wh[1] / tag_wh[1])
    return max(1, int(tag_wh[0] * scale)), max(1, int(tag_wh[1] * scale))


def _ranks(boxes: Sequence[Rect], near_px: int) -> list[int]:
    """For each box, how many before it have all edges nearly where its own are.

    Their lines would cover each other, so each further one goes around the ones before.
    """
    return [
        sum(_are_alike(box, other, near_px) for other in boxes[:i]) for i, box in enumerate(boxes)
    ]


def _are_alike(a: Rect, b: Rect, near_px: int) -> bool:
    return all(abs(end - other) < near_px for end, other in zip(a, b, strict=True))


def _line_edge(box: Rect, size_wh: Size, total_px: int) -> Rect:
    """The line's inner edge: the box itself, moved in where the picture ends too soon."""
    x1, y1, x2, y2 = box
    most_x, most_y = int(_MAX_INTRUSION * (x2 - x1)), int(_MAX_INTRUSION * (y2 - y1))
    return (
        x1 + min(max(total_px - x1, 0), most_x),
        y1 + min(max(total_px - y1, 0), most_y),
        x2 - min(max(total_px - (size_wh[0] - x2), 0), most_x),
        y2 - min(max(total_px - (size_wh[1] - y2), 0), most_y),
    )


@lru_cache(maxsize=256)
def _rings(rgb: Rgb, core_px: int, casing_px: int) -> Rings:
    """The line from the outside in.

    The coloured core runs between a black and a white edge, since on no ground do both fall below
    4.58:1; the one that stands out more against the core lies outside.
    """
    c, core = casing_px, core_px
    tone = text_rgb(rgb)
    return (core + 2 * c, c, tone), (core + c, core, rgb), (c, c, BLACK if tone == WHITE else WHITE)


def _draw_line(rows: Pixels, mark: Mark) -> None:
    """Draws a box's line: all its rings down both sides at once, then each of them across.

    Args:
        rows: The picture as `fill_rows` takes it.
        mark: The mark.
    """
    rings, total = _rings(mark.rgb, mark.line_px, mark.casing_px), mark.total_px
    left, right = _profiles(rings)
    x1, y1, x2, y2 = mark.outline_xyxy
    fill_rows(rows, (x1, y1, x1 + total, y2), left)
    fill_rows(rows, (x2 - total, y1, x2, y2), right)
    width = rows.shape[1] // 3
    for reach, px, rgb in rings:
        x1, y1, x2, y2 = grow(mark.line_xyxy, reach)
        x1, x2, row = max(x1, 0), min(x2, width), _row(rgb, width)
        fill_rows(rows, (x1, y1, x2, y1 + px), row)
        fill_rows(rows, (x1, y2 - px, x2, y2), row)


@lru_cache(maxsize=256)
def _profiles(rings: Rings) -> tuple[Pixels, Pixels]:
    """Bytes of the pixels across a line, on the left and on the right of its box."""
    left = [_row(rgb, px) for _, px, rgb in rings]
    return np.concatenate(left), np.concatenate(left[::-1])


@lru_cache(maxsize=256)
def _row(rgb: Rgb, px: int) -> Pixels:
    """Bytes of so many pixels of a colour."""
    return np.tile(np.array(rgb, dtype=np.uint8), px)


@lru_cache(maxsize=1024)
def _tag(number: int, rgb: Rgb, font_px: int, casing_px: int, size_wh: Size) -> Stamp:
    """A tag of the given size."""
    width, height = _tag_wh(len(str(number)), font_px, casing_px)
    tone = text_rgb(rgb)
    radius = 0.22 * height
    tag = Image.new("RGB", (width, height), tone)
    tag.paste(rgb, (0, 0), _plate((width, height), casing_px, radius))
    digits = digits_mask(number, font_px, weight=font_px / 50)
    tag.paste(tone, ((width - digits.width) // 2, (height - digits.height + 1) // 2), digits)
    tag.putalpha(_plate((width, height), 0, radius))
    if tag.size != size_wh:
        tag = tag.resize(size_wh, Image.Resampling.LANCZOS)
    rgba = np.asarray(tag)
    return Stamp.of(rgba[..., :3], rgba[..., 3])


def _plate(size_wh: Size, inset: int, radius: float) -> Image.Image:
    """Coverage of a rectangle with round corners, inset by so many pixels."""
    width, height = size_wh[0] * _FINE, size_wh[1] * _FINE
    near = inset * _FINE
    mask = Image.new("L", (width, height))
    ImageDraw.Draw(mask).rounded_rectangle(
        (near, near, width - near - 1, height - near - 1),
        radius=max(0.0, radius - inset) * _FINE,
        fill=255,
    )
    return mask.reduce(_FINE)


def _draw_leader(drawn: Pixels, mark: Mark, leader: Segment) -> None:
    size_wh = size_of(drawn)
    for px, rgb in ((mark.total_px, text_rgb(mark.rgb)), (mark.line_px, mark.rgb)):
        corner, stroke = _stroke(leader, px, size_wh)
        blend(drawn, corner, rgb, stroke)


def _stroke(leader: Segment, width_px: int, size_wh: Size) -> tuple[tuple[int, int], Pixels]:
    """Where a straight line goes, and its coverage there, (height, width)."""
    (ax, ay), (bx, by) = leader
    x1, y1 = max(min(ax, bx) - width_px, 0), max(min(ay, by) - width_px, 0)
    x2 = min(max(ax, bx) + width_px + 1, size_wh[0])
    y2 = min(max(ay, by) + width_px + 1, size_wh[1])
    mask = Image.new("L", ((x2 - x1) * _FINE, (y2 - y1) * _FINE))
    ends = [((x - x1 + 0.5) * _FINE, (y - y1 + 0.5) * _FINE) for x, y in leader]
    ImageDraw.Draw(mask).line(ends, fill=255, width=width_px * _FINE)
    return (x1, y1), np.asarray(mask.reduce(_FINE))
