"""Which of a record's fields hold its boxes, under whatever name; pure.

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

import re
from collections.abc import Iterator, Mapping
from dataclasses import dataclass
from typing import Any

from regioncap.records import MAX_REGIONS, InputRecord, Problem, boxes_of
from regioncap.settings import BoxFormat, JobSettings
from regioncap.views.box_formats import FORMATS, four_numbers, shape_of, with_shape

#: What other tools call a list of boxes, without what is no letter or digit.
_LISTS = {
    "bbox", "bboxes", "bboxs", "boxes", "box", "boundingbox", "boundingboxes", "boundingboxs",
    "rois", "roi", "rects", "rect", "gtbboxes", "gtboxes",
}  # fmt: skip
#: What they call objects that have a box each; these may be empty and still say that boxes are
#: meant.
_CONTAINERS = {
    "objects", "annotations", "instances", "detections", "regions", "segmentsinfo", "faces",
    "object", "annotation", "instance", "region",
}  # fmt: skip
_SIDES = {
    "xyxy": ("xmin ymin xmax ymax", "x1 y1 x2 y2", "x0 y0 x1 y1", "left top right bottom",
             "minx miny maxx maxy", "xtl ytl xbr ybr", "startx starty endx endy"),
    "cxcywh": ("cx cy w h", "cx cy width height", "xcenter ycenter width height",
               "centerx centery width height", "xcenter ycenter w h", "centerx centery w h"),
    "xywh": ("xpx ypx widthpx heightpx", "x y w h", "x y width height", "left top width height",
             "xmin ymin width height", "xmin ymin w h", "left top w h"),
}  # fmt: skip
#: Longer sides are no pictures.
_MOST_PIXELS = 1 << 31
_FAMILIES = [(shape, tuple(f.split())) for shape, all_ in _SIDES.items() for f in all_]


@dataclass(frozen=True, slots=True)
class _Found:
    """Boxes, and where they stand."""

    where: str
    boxes: Any
    #: The shape that names tell.
    shape: str = ""
    #: Fields that hold nothing else.
    fields: tuple[str, ...] = ()


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


def has_box_fields(fields: Mapping[str, Any]) -> bool:
    """Whether a row of a table has a column of boxes, be it empty in this row."""
    if _sides({name: value if _is_given(value) else 0 for name, value in fields.items()}):
        return True
    for name, value in fields.items():
        known = _plain_name(name)
        if _shape_in(known)[0] in _LISTS or "bbox" in known:
            return True
        if known in _CONTAINERS and any(_in_container(name, _unpacked(value))):
            return True
    return False


def _look_in_meta(record: InputRecord, box_format: BoxFormat) -> None:
    found = list(_boxes_in(record.meta))
    found = [each for each in found if each.boxes != []] or found[:1]
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


def _boxes_in(fields: Mapping[str, Any]) -> Iterator[_Found]:
    sides = _sides(fields)
    if sides is not None:
        yield sides
    for name, given in fields.items():
        known, value = _plain_name(name), _unpacked(given)
        stem, shape = _shape_in(known)
        if known in _CONTAINERS:
            yield from _in_container(name, value)
        elif not isinstance(value, str | list | dict) or not _is_given(value):
            continue  # a count, say
        elif stem in _LISTS and (not isinstance(value, str) or re.search(r"\d", value)):
            yield _Found(name, _listed(value), shape or _shape_of_objects(value), (name,))
        elif isinstance(value, dict | list) and ("bbox" in known or "boundingbox" in known):
            yield _Found(name, None)
        elif isinstance(value, dict | list):
            yield from (each for each in _in_container(name, value) if _are_boxes(each.boxes))


def _are_boxes(value: Any) -> bool:
    """Whether it can be nothing else: fields of any name are looked into."""
    boxes = boxes_of(value)
    return isinstance(boxes, list) and bool(boxes) and all(map(four_numbers, boxes))


def _unpacked(value: Any) -> Any:
    """A value, or what its JSON text says."""
    if isinstance(value, str) and value.lstrip()[:1] in {"[", "{"}:
        return boxes_of(value)
    return value


def _listed(value: Any) -> Any:
    """Boxes of a field that is named as boxes: as lists, or as objects with a field a side."""
    if isinstance(value, dict):
        value = [value]
    if isinstance(value, list) and value and all(isinstance(each, dict) for each in value):
        [*found] = _in_container("", value)
        return found[0].boxes if found else value
    return value


def _shape_of_objects(value: Any) -> str:
    items = [value] if isinstance(value, dict) else value
    if isinstance(items, list) and items and isinstance(items[0], dict):
        sides = _sides(items[0])
        return sides.shape if sides else ""
    return ""


def _in_container(name: str, value: Any) -> Iterator[_Found]:
    """Boxes of an object with lists, or of a list of objects."""
    if isinstance(value, dict):
        yield from (
            _Found(f"{name}.{each.where}", each.boxes, each.shape) for each in _named_in(value)
        )
    elif isinstance(value, list) and not value and _plain_name(name) in _CONTAINERS:
        yield _Found(name, [])
    elif isinstance(value, list) and any(isinstance(each, dict) for each in value):
        objects = [each for each in value if isinstance(each, dict)]
        found = [next(_named_in(each), None) for each in objects]
        first = next((each for each in found if each is not None), None)
        if first is not None:
            # One without a box among others is an invalid box, and stays in its place.
            boxes = [_one(each.boxes) if each else None for each in found]
            yield _Found(f"{name}[].{first.where}", _as_boxes(boxes), first.shape)


def _as_boxes(boxes: list[Any]) -> list[Any]:
    return [box if isinstance(box, list) else [box] for box in boxes]


def _one(boxes: Any) -> Any:
    """The one box of an object."""
    boxes = boxes_of(boxes)
    return boxes[0] if isinstance(boxes, list) and len(boxes) == 1 else boxes


def _named_in(fields: Mapping[str, Any]) -> Iterator[_Found]:
    sides = _sides(fields)
    if sides is not None:
        yield sides
        return
    for name, value in fields.items():
        stem, shape = _shape_in(_plain_name(name))
        if stem in _LISTS and value is not None:
            inner = _sides(value) if isinstance(value, dict) else None
            yield _Found(name, inner.boxes if inner else value, inner.shape if inner else shape)


def _sides(fields: Mapping[str, Any]) -> _Found | None:
    """Boxes of which each side is a field."""
    names = {_plain_name(name): name for name in fields}
    for shape, family in _FAMILIES:
        for prefix in ("", "bbox", "box"):
            chosen = [names.get(prefix + side) for side in family]
            if all(name is not None and _is_given(fields[name]) for name in chosen):
                keys = tuple(str(name) for name in chosen)
                return _Found(", ".join(keys), _zipped([fields[key] for key in keys]), shape, keys)
    return None


def _is_given(value: Any) -> bool:
    return value is not None and not (isinstance(value, str) and not value.strip())


def _zipped(values: list[Any]) -> Any:
    if all(isinstance(value, list) for value in values):
        if len({len(value) for value in values}) != 1:
            return None
        return [[_number(side) for side in box] for box in zip(*values, strict=True)]
    return [[_number(value) for value in values]]


def _number(value: Any) -> Any:
    """The number that a text is, as tables have it."""
    if isinstance(value, str):
        try:
            return float(value)
        except ValueError:
            return value
    return value


def _plain_name(name: str) -> str:
    return re.sub(r"[^a-z0-9]", "", str(name).lower())


def _shape_in(name: str) -> tuple[str, str]:
    """A name without the shape at its end, and the shape."""
    found = re.fullmatch(r"(.+?)(cxcywh|xyxy|xywh)", name)
    return (found[1], found[2]) if found else (name, "")


def _format_named(name: Any) -> BoxFormat | None:
    return next((each for each in FORMATS if each == name), None)


def _declared(meta: Mapping[str, Any]) -> tuple[int, int] | None:
    """Width and height of the picture as its record declares them."""
    for names in (
        ("width", "height"),
        ("image_width", "image_height"),
        ("img_width", "img_height"),
    ):
        width, height = (_number(meta.get(name)) for name in names)
        if _is_length(width) and _is_length(height):
            return int(width), int(height)
    return None


def _is_length(value: Any) -> bool:
    is_number = isinstance(value, int | float) and not isinstance(value, bool)
    return is_number and 1 <= value < _MOST_PIXELS and value == int(value)
