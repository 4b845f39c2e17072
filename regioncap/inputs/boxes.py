"""What a record's boxes are: those given, under whatever name, none, or proposals; pure.

No record whose boxes have another name gets proposals: they are read, or the record is an error.
Read are

    bboxes, boxes, box, bounding_box, ...   lists of boxes, also as JSON text
    bbox_xyxy, boxes_cxcywh, ...            the same, in the shape that the name says
    objects, annotations, ...               an object with such lists, or a list of objects
    xmin, ymin, xmax, ymax; x, y, w, h; ... a field a side: numbers, or lists of them

The shape is the one that names tell, else the one of the setting `box_format`; the unit is always
the setting's.
"""

from __future__ import annotations

from collections.abc import Mapping
from typing import Any

from regioncap.inputs.box_fields import boxes_in, boxes_of
from regioncap.inputs.sides import number_of
from regioncap.records import MAX_REGIONS, InputRecord, Problem
from regioncap.settings import BoxFormat, JobSettings
from regioncap.views.box_formats import FORMATS, shape_of, with_shape

#: Longer sides are no pictures.
_MOST_PIXELS = 1 << 31


def settle(record: InputRecord, settings: JobSettings) -> InputRecord:
    """Sets what a record's boxes are, in place: those given, none, or None for proposals.

    Args:
        record: As read.
        settings: How boxes are meant, and whether regions are proposed where there are none.
    """
    if record.error is not None:
        return record
    if record.bbox is None:
        _look_in_meta(record, settings.box_format)
    if record.bbox is None and record.annotated and record.error is None:
        record.bbox = []
    own = record.meta.get("box_format")
    if own is not None and record.box_format is None:
        record.box_format = _format_named(own)
    if record.declared_wh is None:
        record.declared_wh = _declared(record.meta)
    if settings.propose and not record.bbox:
        record.bbox, record.error = None, None
    return record


def _look_in_meta(record: InputRecord, box_format: BoxFormat) -> None:
    found = boxes_in(record.meta)
    if not found:
        return
    if len({each.where for each in found}) > 1:
        names = " and ".join(each.where for each in found)
        _refuse(record, f"boxes stand in {names}", "put those that are meant into bbox")
        return
    [one] = found[:1]
    boxes = boxes_of(one.boxes)
    if not isinstance(boxes, list) or not all(isinstance(box, list) for box in boxes):
        what = f"{one.where} looks like boxes and is no list of them"
        _refuse(record, what, "put them into bbox, as a list of [x, y, w, h]")
        return
    if len(boxes) > MAX_REGIONS:
        message = f"{len(boxes):,} boxes (at most {MAX_REGIONS:,})"
        record.error = Problem(code="too-many-boxes", message=message, stage="submit")
        return
    record.bbox, record.boxes_from = boxes, one.where
    if one.shape and one.shape != shape_of(box_format):
        record.box_format = with_shape(box_format, one.shape)
    for name in one.fields:
        del record.meta[name]


def _refuse(record: InputRecord, what: str, hint: str) -> None:
    record.error = Problem(code="bbox-misnamed", message=f"{what} ({hint})", stage="submit")


def _format_named(name: Any) -> BoxFormat | None:
    return next((each for each in FORMATS if each == name), None)


def _declared(meta: Mapping[str, Any]) -> tuple[int, int] | None:
    """Width and height of the picture as its record declares them."""
    for names in (
        ("width", "height"),
        ("image_width", "image_height"),
        ("img_width", "img_height"),
    ):
        width, height = (number_of(meta.get(name)) for name in names)
        if _is_length(width) and _is_length(height):
            return int(width), int(height)
    return None


def _is_length(value: Any) -> bool:
    is_number = isinstance(value, int | float) and not isinstance(value, bool)
    return is_number and 1 <= value < _MOST_PIXELS and value == int(value)
