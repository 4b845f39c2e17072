"""From the boxes of a record to regions: read, checked, clipped; pure."""

from __future__ import annotations

import math
from collections.abc import Sequence
from typing import Any

from regioncap.errors import RecordError
from regioncap.records import Region
from regioncap.settings import BoxFormat
from regioncap.views.boxes import (
    Box,
    Size,
    area_xyxy,
    clip_xyxy,
    normalize_xyxy,
    pixel_rect,
    scale_xyxy,
    xywh_from_xyxy,
    xyxy_from_xywh,
)


def read_box(value: Any, box_format: BoxFormat, size_wh: Size) -> Box:
    """Reads one box as given and clips it to the picture.

    Args:
        value: What the record holds; four numbers, if all is well.
        box_format: How the numbers are meant.
        size_wh: Size of the oriented picture, pixels.

    Returns:
        The part of the box inside the picture, xyxy in pixels.

    Raises:
        RecordError: It is no box, or nothing of it lies inside; the hint names the usual mix-ups.
    """
    box_xyxy = _pixels_xyxy(value, box_format, size_wh)
    clipped = clip_xyxy(box_xyxy, size_wh)
    if area_xyxy(clipped) <= 0:
        size = f"{size_wh[0]}x{size_wh[1]}"
        raise _bad_box(f"{value} lies outside the picture of {size} pixels", _OUTSIDE_HINT)
    return clipped


def check_box(value: Any, box_format: BoxFormat, size_wh: Size | None) -> RecordError | None:
    """What is wrong with a box: it cannot be used, or the picture's edge cuts it.

    A box that reaches past the edge is captioned as far as it lies inside; by more than a pixel it
    is often no rounding error but a box in another format.

    Args:
        value: What the record holds.
        box_format: How the numbers are meant.
        size_wh: Size of the oriented picture, pixels; None if it is not known.
    """
    try:
        if size_wh is None:
            _pixels_xyxy(value, box_format, _ANY_SIZE)
            return None
        read_box(value, box_format, size_wh)
    except RecordError as error:
        return error
    edge, past_px = _overhang(_pixels_xyxy(value, box_format, size_wh), size_wh)
    if past_px <= _SLIGHT_PX:
        return None
    return RecordError(
        f"box {value} reaches {past_px:,.0f} pixels past the {edge} edge of the picture of "
        f"{size_wh[0]}x{size_wh[1]}",
        code="box-cut",
        hint=_hint_if_corners(value, box_format, size_wh) or "it is cut there",
    )


def _pixels_xyxy(value: Any, box_format: BoxFormat, size_wh: Size) -> Box:
    """The box as given, in pixels, not yet clipped; raises as `read_box` does."""
    numbers = _four_numbers(value)
    if box_format.endswith("-normalized"):
        box = scale_xyxy(numbers, (1, 1), size_wh)
        if max(numbers) > 2:
            raise _bad_box(f"{value} is not normalized", "give fractions, or --box-format xywh")
    else:
        box = numbers
        if all(0 <= n <= 1 for n in numbers) and any(n != int(n) for n in numbers):
            raise _bad_box(
                f"{value} looks normalized", "did you mean --box-format xywh-normalized?"
            )
    box_xyxy = xyxy_from_xywh(box) if box_format.startswith("xywh") else box
    if box_xyxy[2] <= box_xyxy[0] or box_xyxy[3] <= box_xyxy[1]:
        hint = "" if box_format.startswith("xywh") else "did you mean --box-format xywh?"
        raise _bad_box(f"{value} has no area", hint)
    return box_xyxy


def _overhang(box_xyxy: Box, size_wh: Size) -> tuple[str, float]:
    """The edge that a box reaches past most, and by how many pixels."""
    past = {
        "left": -box_xyxy[0],
        "upper": -box_xyxy[1],
        "right": box_xyxy[2] - size_wh[0],
        "lower": box_xyxy[3] - size_wh[1],
    }
    edge = max(past, key=past.__getitem__)
    return edge, past[edge]


def _hint_if_corners(value: Any, box_format: BoxFormat, size_wh: Size) -> str:
    """A hint if the numbers, read as two corners, would be a box inside the picture."""
    corners: BoxFormat = "xyxy" if box_format == "xywh" else "xyxy-normalized"
    try:
        _, past_px = _overhang(_pixels_xyxy(value, corners, size_wh), size_wh)
    except RecordError:
        return ""
    fits = past_px <= _SLIGHT_PX and box_format.startswith("xywh")
    return f"did you mean --box-format {corners}?" if fits else ""


#: Boxes that were rounded reach this far past an edge, and nobody minds.
_SLIGHT_PX = 1.0
_ANY_SIZE = (1 << 30, 1 << 30)
_OUTSIDE_HINT = "boxes count in pixels of the picture as shown, with EXIF orientation applied"


def _four_numbers(value: Any) -> Box:
    if not isinstance(value, list | tuple) or len(value) != 4:
        raise _bad_box(f"{_short(value)} is not four numbers", "give [x, y, w, h]")
    for number in value:
        if isinstance(number, bool) or not isinstance(number, int | float):
            raise _bad_box(f"{_short(value)}: {_short(number)} is not a number", "")
    try:
        numbers = tuple(float(number) for number in value)
    except OverflowError:
        raise _bad_box(f"{_short(value)} has a number out of range", "") from None
    if not all(map(math.isfinite, numbers)):
        raise _bad_box(f"{_short(value)} is not finite", "")
    return numbers  # type: ignore[return-value]  # four of them, checked above


def _short(value: Any) -> str:
    text = repr(value)
    return text if len(text) <= 80 else text[:77] + "..."


def _bad_box(message: str, hint: str) -> RecordError:
    return RecordError(f"box {message}", code="bad-box", hint=hint)


def resolve(bbox: Sequence[Any], box_format: BoxFormat, size_wh: Size) -> list[Region]:
    """One region per box, in the order given; those without a usable box are `invalid`."""
    regions = []
    for number, value in enumerate(bbox, start=1):
        try:
            box_xyxy = read_box(value, box_format, size_wh)
        except RecordError as error:
            regions.append(Region(region=number, status="invalid", why=str(error)))
        else:
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


def boxes_as_xywh(bbox: Sequence[Any], regions: Sequence[Region], fmt: BoxFormat) -> list[Any]:
    """The output's `bbox`: as given; boxes of another format in pixels as [x, y, w, h]."""
    if fmt == "xywh":
        return list(bbox)
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
