"""Boxes that count in another size than the picture's as shown; pure.

Annotations say how large their picture is. Where that differs, boxes were drawn on the pixels
before EXIF turns them, or on a smaller or larger copy.
"""

from __future__ import annotations

from regioncap.errors import RecordError
from regioncap.settings import BoxesOf
from regioncap.views.boxes import Box, Size, scale_xyxy

_SIDEWAYS = {5, 6, 7, 8}
_FROM_BOTTOM = {3, 4, 7, 8}
_FROM_RIGHT = {2, 3, 6, 7}


def check_declared(declared_wh: Size | None, size_wh: Size, orientation: int) -> RecordError | None:
    """What is wrong with the size that the input declares (`size-differs`).

    Args:
        declared_wh: That size; None if there is none.
        size_wh: Size of the picture as shown, pixels.
        orientation: Its EXIF orientation, 1 to 8.
    """
    if declared_wh is None or declared_wh == size_wh:
        return None
    said = f"the input declares {_said(declared_wh)}, the picture is shown as {_said(size_wh)}"
    if _is_turned(declared_wh, size_wh, orientation):
        what = "boxes seem to be of the picture before EXIF turns it"
        hint = "--boxes-of declared turns them"
    elif _is_copy(declared_wh, size_wh):
        what, hint = "boxes seem to be of a copy of another size", "--boxes-of declared scales them"
    else:
        what, hint = "boxes may be of another picture", "compare the two"
    return RecordError(f"{said}: {what}", code="size-differs", hint=hint)


def counted_size(
    declared_wh: Size | None, size_wh: Size, orientation: int, boxes_of: BoxesOf
) -> Size:
    """The size that boxes count in.

    Raises:
        RecordError: It is the declared one, and no turning or scaling leads from there to the
            picture (`size-differs`).
    """
    if boxes_of == "shown" or declared_wh is None or declared_wh == size_wh:
        return size_wh
    if not _is_turned(declared_wh, size_wh, orientation) and not _is_copy(declared_wh, size_wh):
        flaw = check_declared(declared_wh, size_wh, orientation)
        raise RecordError(flaw.message if flaw else "", code="size-differs", hint="compare the two")
    return declared_wh


def as_shown(box_xyxy: Box, counted_wh: Size, size_wh: Size, orientation: int) -> Box:
    """Carries a box from the size that it counts in to the picture as shown."""
    if counted_wh == size_wh:
        return box_xyxy
    if _is_turned(counted_wh, size_wh, orientation):
        box_xyxy = _turned(box_xyxy, counted_wh, orientation)
        counted_wh = (counted_wh[1], counted_wh[0])
    return scale_xyxy(box_xyxy, counted_wh, size_wh)


def _turned(box_xyxy: Box, stored_wh: Size, orientation: int) -> Box:
    """A box of the stored pixels as EXIF's Orientation (TIFF 6.0, tag 274) shows it."""
    x1, y1, x2, y2 = box_xyxy
    width, height = stored_wh
    if orientation in _SIDEWAYS:
        x1, y1, x2, y2, width, height = y1, x1, y2, x2, height, width
    if orientation in _FROM_BOTTOM:
        y1, y2 = height - y2, height - y1
    if orientation in _FROM_RIGHT:
        x1, x2 = width - x2, width - x1
    return x1, y1, x2, y2


def _is_turned(declared_wh: Size, size_wh: Size, orientation: int) -> bool:
    stored_wh = (size_wh[1], size_wh[0])
    return orientation in _SIDEWAYS and _is_copy(declared_wh, stored_wh)


def _is_copy(one_wh: Size, other_wh: Size) -> bool:
    """Whether two sizes have one shape, but for the rounding of a pixel."""
    (a, b), (c, d) = one_wh, other_wh
    return abs(a * d - b * c) <= max(c, d, a, b)


def _said(size_wh: Size) -> str:
    return f"{size_wh[0]}x{size_wh[1]}"
