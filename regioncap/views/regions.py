"""From the boxes of a record to regions: read, checked, clipped; pure."""

from __future__ import annotations

import math
from collections.abc import Sequence
from typing import Any

from regioncap.errors import RecordError
from regioncap.records import Region
from regioncap.settings import BoxFormat
from regioncap.views import box_formats
from regioncap.views.box_formats import SLIGHT_PX, overhang, xyxy_pixels
from regioncap.views.boxes import (
    Box,
    Size,
    area_xyxy,
    clip_xyxy,
    normalize_xyxy,
    pixel_rect,
    scale_xyxy,
    xywh_from_xyxy,
)


def read_box(value: Any, box_format: BoxFormat, size_wh: Size) -> Box:
    """Reads one box as given and clips it to the picture.

    Args:
        value: What the record holds; four numbers, if all is well.
        box_format: How the numbers are meant.
        size_wh: Size that the boxes count in: of the oriented picture, pixels.

    Returns:
        The part of the box inside the picture, xyxy in pixels.

    Raises:
        RecordError: It is no box, or nothing of it lies inside.
    """
    box_xyxy = _pixels_xyxy(value, box_format, size_wh)
    clipped = clip_xyxy(box_xyxy, size_wh)
    if area_xyxy(clipped) <= 0:
        size = f"{size_wh[0]}x{size_wh[1]}"
        raise _bad_box(f"{said(value)} lies outside the picture of {size} pixels", _OUTSIDE_HINT)
    return clipped


def check_boxes(
    bbox: Sequence[Any], box_format: BoxFormat, size_wh: Size | None, *, is_alone: bool = True
) -> list[RecordError | None]:
    """What is wrong with each box: it cannot be used (`bad-box`), or the edge cuts it (`box-cut`).

    A box that reaches past the edge is captioned as far as it lies inside; by more than a pixel it
    is often no rounding error but a box in another format.

    Args:
        bbox: What the record holds.
        box_format: How the numbers are meant.
        size_wh: Size that the boxes count in, pixels; None if it is not known.
        is_alone: Whether no more than this record is known of its input, so that most of its own
            boxes tell whether another format is meant.
    """
    flaws = [_flaw(value, box_format, size_wh) for value in bbox]
    are_most = 2 * sum(flaw is not None for flaw in flaws) > len(flaws)
    hint = format_hint(bbox, box_format, size_wh) if is_alone and are_most else ""
    for value, flaw in zip(bbox, flaws, strict=True):
        if flaw is not None and hint and box_formats.four_numbers(value):
            flaw.hint = hint
    return flaws


def format_hint(bbox: Sequence[Any], box_format: BoxFormat, size_wh: Size | None) -> str:
    """Names the format that fits most boxes of a record, if that is another one."""
    return box_formats.hint(box_formats.count_fits(bbox, size_wh or _ANY_SIZE), box_format)


def _flaw(value: Any, box_format: BoxFormat, size_wh: Size | None) -> RecordError | None:
    try:
        if size_wh is None:
            _pixels_xyxy(value, box_format, _ANY_SIZE)
            return None
        read_box(value, box_format, size_wh)
    except RecordError as error:
        return error
    edge, past_px = overhang(_pixels_xyxy(value, box_format, size_wh), size_wh)
    if past_px <= SLIGHT_PX:
        return None
    return RecordError(
        f"box {said(value)} reaches {past_px:,.0f} pixels past the {edge} edge of the picture of "
        f"{size_wh[0]}x{size_wh[1]}",
        code="box-cut",
        hint="it is cut there",
    )


def _pixels_xyxy(value: Any, box_format: BoxFormat, size_wh: Size) -> Box:
    """The box as given, in pixels, not yet clipped; raises as `read_box` does."""
    numbers = _four_numbers(value)
    if box_formats.is_beyond(numbers, box_format):
        raise _bad_box(f"{said(value)} is not {_UNIT_NAMES[box_format.partition('-')[2]]}", "")
    if box_formats.side_of(box_format) is None and box_formats.looks_like_fractions(numbers):
        raise _bad_box(f"{said(value)} looks normalized", "give pixels")
    box_xyxy = xyxy_pixels(numbers, box_format, size_wh)
    if box_xyxy[2] <= box_xyxy[0] or box_xyxy[3] <= box_xyxy[1]:
        raise _bad_box(f"{said(value)} has no area", "")
    return box_xyxy


_UNIT_NAMES = {"normalized": "normalized", "1000": "in thousandths", "percent": "in percent"}
_NESTED = (list, tuple, dict)
_ANY_SIZE = (1 << 30, 1 << 30)
_OUTSIDE_HINT = "boxes count in pixels of the picture as shown, with EXIF orientation applied"


def _four_numbers(value: Any) -> Box:
    if not isinstance(value, list | tuple) or len(value) != 4:
        raise _bad_box(f"{said(value)} is not four numbers", "give [x, y, w, h]")
    for number in value:
        if isinstance(number, bool) or not isinstance(number, int | float):
            raise _bad_box(f"{said(value)}: {said(number)} is not a number", "")
    try:
        numbers = tuple(float(number) for number in value)
    except OverflowError:
        raise _bad_box(f"{said(value)} has a number out of range", "") from None
    if not all(map(math.isfinite, numbers)):
        raise _bad_box(f"{said(value)} is not finite", "")
    return numbers  # type: ignore[return-value]  # four of them, checked above


def said(value: Any) -> str:
    """A value of the input as people write it: short, and numbers with four decimals at most."""
    if isinstance(value, list | tuple) and not any(isinstance(x, _NESTED) for x in value[:9]):
        if len(value) > 8:
            return said([*value[:3]])[:-1] + f", ... {len(value):,} values]"
        return f"[{', '.join(map(said, value))}]"
    if isinstance(value, float) and math.isfinite(value):
        return f"{round(value, 4):.10g}"
    text = repr(value)
    return text if len(text) <= 80 else text[:77] + "..."


def _bad_box(message: str, hint: str) -> RecordError:
    return RecordError(f"box {message}", code="bad-box", hint=hint)


def resolve(bbox: Sequence[Any], box_format: BoxFormat, size_wh: Size) -> list[Region]:
    """One region per box, in the order given; those without a usable box are `invalid`."""
    regions, flaws = [], check_boxes(bbox, box_format, size_wh)
    for number, (value, flaw) in enumerate(zip(bbox, flaws, strict=True), start=1):
        if flaw is not None and flaw.code == "bad-box":
            regions.append(Region(region=number, status="invalid", why=str(flaw)))
        else:
            box_xyxy = read_box(value, box_format, size_wh)
            regions.append(Region(region=number, bbox=rounded(xywh_from_xyxy(box_xyxy))))
    return regions


def proposed(boxes_xyxy: Sequence[Box], size_wh: Size) -> list[Region]:
    """One region per proposed box, in the order given.

    Args:
        boxes_xyxy: As fractions of the sides.
        size_wh: Size of the oriented picture, pixels.
    """
    rects = [pixel_rect(scale_xyxy(box, (1, 1), size_wh), size_wh) for box in boxes_xyxy]
    return [
        Region(region=number, bbox=xywh_from_xyxy(rect)) for number, rect in enumerate(rects, 1)
    ]


def boxes_as_xywh(bbox: Sequence[Any], regions: Sequence[Region]) -> list[Any]:
    """The output's `bbox` in pixels as [x, y, w, h]; what is no box, as given."""
    return [
        list(region.bbox) if region.bbox else value
        for value, region in zip(bbox, regions, strict=True)
    ]


def normalized_rows(regions: Sequence[Region], size_wh: Size, rows: int) -> list[list[float]]:
    """The output's `normalized_bbox`: usable boxes as xyxy fractions, zero-padded to `rows`."""
    used = [normalize_xyxy(region.box_xyxy, size_wh) for region in regions if region.bbox]
    return used + [[0.0, 0.0, 0.0, 0.0]] * (rows - len(used))


def rounded(box: Box) -> Box:
    """Two decimals, and whole numbers where they are."""
    a, b, c, d = (int(v) if float(v).is_integer() else round(v, 2) for v in box)
    return a, b, c, d
