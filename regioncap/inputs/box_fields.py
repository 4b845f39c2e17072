"""Which fields hold boxes, under whatever name and however deep; pure.

A field is looked into by its name (`boxes`, `objects`) and by what it holds: four numbers a box, or
a field a side. Of a list of objects, one without a box among others is an invalid box and stays in
its place.
"""

from __future__ import annotations

import ast
import math
import re
import warnings
from collections.abc import Iterator, Mapping
from contextlib import suppress
from dataclasses import replace
from typing import Any

from regioncap.inputs.json_text import loads
from regioncap.inputs.sides import Found, is_given, plain_name, sides_in
from regioncap.views.box_formats import four_numbers

#: Besides `original_width`, which other tools write, too: img2dataset, of pictures it resized.
_OF_LABEL_STUDIO = {
    "x", "value", "points", "rle", "rotation", "image_rotation", "rectanglelabels", "polygonlabels",
    "ellipselabels", "brushlabels", "keypointlabels",
}  # fmt: skip
#: What other tools call a list of boxes, or one box, without what is no letter or digit.
_LISTS = {
    "bbox", "bboxes", "bboxs", "boxes", "box", "boundingbox", "boundingboxes", "boundingboxs",
    "bndbox", "bndboxes", "rois", "roi", "rects", "rect", "rectangle", "rectangles", "gtbboxes",
    "gtboxes",
}  # fmt: skip
#: What they call objects that have a box each; these may be empty and still say that boxes are
#: meant.
_CONTAINERS = {
    "objects", "annotations", "instances", "detections", "regions", "segmentsinfo", "faces",
    "object", "annotation", "instance", "region",
}  # fmt: skip
#: Names that say so of boxes that are not read: their order of numbers is not known.
_BOX_NAME = re.compile("bbox|box2d|boundingbox|boxes|bounds|coord|rect|roi")
#: What outlines an object without a box.
_OUTLINES = {
    "segmentation", "segments", "polygon", "polygons", "points", "mask", "rle", "vertices", "quad",
}  # fmt: skip
#: Python's own reader takes a hundred times a text's size.
_MOST_LITERAL_CHARACTERS = 200_000
#: Deepest that boxes are looked for.
_MOST_LEVELS = 6


def boxes_in(fields: Mapping[str, Any]) -> list[Found]:
    """What of a record's fields holds boxes, or looks as if; a list of boxes that is none is None.

    Where any holds a box, those that are empty are left out.
    """
    found = [_here(each) for each in _in_object(fields, "", 0)]
    return [each for each in found if each.boxes != []] or found[:1]


def has_box_fields(fields: Mapping[str, Any]) -> bool:
    """Whether a row of a table has a column of boxes, be it empty in this row."""
    if sides_in({name: value if is_given(value) else 0 for name, value in fields.items()}):
        return True
    return any(
        _shape_in(plain_name(name))[0] in _LISTS or "bbox" in plain_name(name) for name in fields
    ) or bool(boxes_in(fields))


def boxes_of(value: Any) -> Any:
    """Boxes as people give them: a list, the text of one, or a box by itself."""
    if isinstance(value, str):
        if not value.strip():
            return None  # an empty cell of a table
        value = _unpacked(value)
    if isinstance(value, list) and len(value) == 4 and all(map(_is_number, value)):
        return [value]
    return value


def holds_boxes(value: Any) -> bool:
    """Whether objects hold boxes that can be read."""
    return any(isinstance(each.boxes, list) for each in _inside(value, "", 0))


def _here(found: Found) -> Found:
    """The same, if the fields that hold nothing else are the record's own."""
    is_top = "." not in found.where and "[" not in found.where
    return found if is_top else Found(found.where, found.boxes, found.shape)


def _in_object(fields: Mapping[str, Any], path: str, level: int) -> Iterator[Found]:
    sides = sides_in(fields)
    if "original_width" in fields and not _OF_LABEL_STUDIO.isdisjoint(fields):
        yield Found(path, None)  # per cent, and perhaps turned
        return
    if sides is not None:
        yield _below(path, sides)
    if level < _MOST_LEVELS:
        for name, given in fields.items():
            yield from _in_field(str(name), given, path, level)


def _below(path: str, found: Found) -> Found:
    return Found(f"{path}.{found.where}", found.boxes, found.shape) if path else found


def _in_field(name: str, given: Any, path: str, level: int) -> Iterator[Found]:
    """What of one field holds boxes, or looks as if."""
    known, value = plain_name(name), _unpacked(given)
    where = f"{path}.{name}" if path else name
    stem, shape = _shape_in(known)
    if stem in _LISTS and _may_be_boxes(value):
        yield _listed(where, name, value, shape, level)
    elif isinstance(value, dict | list):
        found = list(_inside(value, where, level))
        if known == "coordinates":  # CreateML's, which are of the centre
            found = [replace(each, shape="cxcywh") for each in found if each.shape == "xywh"]
        if known in _CONTAINERS and (not value or _are_boxes(value)):
            yield Found(where, list(value))
        elif not found and _looks_like_boxes(known, value, is_inner=level > 0):
            yield Found(where, None)
        yield from found


def _looks_like_boxes(known: str, value: Any, *, is_inner: bool) -> bool:
    """Whether a field in which none was found says all the same that boxes are meant."""
    if is_inner and known in _OUTLINES:
        return bool(value)
    items = value if isinstance(value, list) else []
    is_one = len(items) == 4 and all(map(_is_number, items))
    return _are_boxes(items) or (is_one and _BOX_NAME.search(known) is not None)


def _are_boxes(value: Any) -> bool:
    return isinstance(value, list) and bool(value) and all(map(four_numbers, value))


def _may_be_boxes(value: Any) -> bool:
    if isinstance(value, str):
        return re.search(r"\d", value) is not None
    return isinstance(value, dict | list)  # a count is none


def _listed(where: str, name: str, value: Any, shape: str, level: int) -> Found:
    """Boxes of a field that is named as boxes: lists, or objects with a field a side."""
    objects = next(_inside(value, "", level), None)
    if objects is not None:
        return Found(where, objects.boxes, shape or objects.shape)
    return Found(where, value, shape, () if "." in where else (name,))


def _inside(value: Any, path: str, level: int) -> Iterator[Found]:
    """Boxes of an object with lists, of a list of objects, or of objects by their ids."""
    if isinstance(value, dict):
        members = list(value.values())
        by_id = len(members) > 1 and all(isinstance(each, dict) for each in members)
        if by_id and all(map(sides_in, members)):
            value = members
        else:
            yield from _in_object(value, path, level + 1)
    if isinstance(value, list) and any(isinstance(each, dict) for each in value):
        yield from _in_objects(value, path, level + 1)


def _in_objects(value: list[Any], path: str, level: int) -> Iterator[Found]:
    objects = [each if isinstance(each, dict) else {} for each in value]
    found = [next(_in_object(each, "", level), None) for each in objects]
    first = next((each for each in found if each is not None), None)
    if first is None:
        return
    where = f"{path}[].{first.where}"
    are_two = any(each.shape != first.shape for each in found if each)
    if are_two or any(isinstance(each, list) for each in value):
        yield Found(where, None)  # boxes of two shapes
        return
    lists = [boxes_of(each.boxes) if each else [] for each in found]
    if any(not isinstance(boxes, list) for boxes in lists):
        yield Found(where, None)
    elif any(len(boxes) > 1 for boxes in lists):  # objects that have lists of boxes
        yield Found(where, [box for boxes in lists for box in boxes], first.shape)
    else:
        yield Found(where, [_one(boxes) for boxes in lists], first.shape)


def _one(boxes: list[Any]) -> list[Any]:
    """The one box of an object."""
    [box] = boxes or [None]
    return box if isinstance(box, list) else [box]


def _unpacked(value: Any) -> Any:
    """A value, or what its text says: JSON, or lists and objects as Python writes them."""
    if not isinstance(value, str) or value.lstrip()[:1] not in {"[", "{", "("}:
        return value
    with suppress(ValueError, RecursionError):
        return loads(value)
    if len(value) > _MOST_LITERAL_CHARACTERS:
        return value
    with warnings.catch_warnings(), suppress(ValueError, SyntaxError, RecursionError, MemoryError):
        warnings.simplefilter("ignore", SyntaxWarning)  # of texts that are something else
        return _as_json(ast.literal_eval(value.strip()))
    return value


def _as_json(value: Any) -> Any:
    if isinstance(value, list | tuple):
        return [_as_json(each) for each in value]
    if isinstance(value, dict):
        return {str(name): _as_json(each) for name, each in value.items()}
    if isinstance(value, float) and not math.isfinite(value):
        return str(value)
    return value if value is None or isinstance(value, bool | int | float | str) else str(value)


def _is_number(value: Any) -> bool:
    return isinstance(value, int | float) and not isinstance(value, bool)


def _shape_in(name: str) -> tuple[str, str]:
    """A name without the shape at its end, and the shape; a shape alone names boxes."""
    found = re.fullmatch(r"(.*?)(cxcywh|xyxy|xywh)", name)
    return (found[1] or "boxes", found[2]) if found else (name, "")
