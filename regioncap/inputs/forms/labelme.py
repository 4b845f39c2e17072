"""LabelMe's JSON, a file a picture; also as X-AnyLabeling and others write it.

Shapes become the boxes around them. Points and lines have no area and are left out. A picture that
is in the file alone (`imageData`) is taken from there.
Format: https://github.com/wkentaro/labelme
"""

from __future__ import annotations

import base64
import binascii
import math
from collections.abc import Iterator, Mapping
from pathlib import Path
from typing import Any

from regioncap.inputs.fields import bad_dataset
from regioncap.inputs.forms.base import Boxes, Form, Input, Sample, hull, record_of
from regioncap.inputs.forms.document import objects_of, read_document, value_of
from regioncap.inputs.forms.per_picture import read_each
from regioncap.inputs.forms.picture_files import Pictures
from regioncap.inputs.reading import Reading
from regioncap.records import InputRecord

#: Shapes without area.
_FLAT = {"point", "points", "line", "linestrip", "keypoint"}


def _knows(sample: Sample) -> bool:
    document = sample.document
    return (
        isinstance(document, dict)
        and "shapes" in document
        and bool({"imagePath", "imageData", "imageHeight"} & document.keys())
    )


def _read(source: Input) -> Iterator[InputRecord]:
    yield from read_each(source, _record, "xyxy")


def _record(file: Path, pictures: Pictures, index: int, reading: Reading) -> InputRecord | None:
    document = read_document(file)
    if not isinstance(document, dict) or "shapes" not in document:
        return None
    said = {
        name: value_of(file, name, document.get(name))
        for name in ("imagePath", "imageWidth", "imageHeight", "flags")
    }
    boxes = Boxes()
    for number, shape in enumerate(objects_of(file, "shapes", document["shapes"])):
        where = f"shapes[{number}] of {file.name}"
        box = _box(shape)
        if box is not None:
            boxes.add(box, categories=shape.get("label"), group_ids=shape.get("group_id"))
        elif shape.get("shape_type") in _FLAT:
            reading.leave_out("points and lines, which have no area", where)
        else:
            reading.leave_out("shapes of which no box can be told", where)
    named = said["imagePath"] if isinstance(said["imagePath"], str) else None
    name = pictures.find(file, named, by_stem=True)
    picture: Path | bytes | None = pictures.path(name)
    if picture is None and (data := document.get("imageData")):
        picture = _decoded(file, value_of(file, "imageData", data))
    return record_of(
        name or (named or "").replace("\\", "/") or file.stem,
        boxes,
        "xyxy",
        index=index,
        reading=reading,
        picture=picture,
        width=said["imageWidth"],
        height=said["imageHeight"],
        flags=said["flags"] or None,
        annotation=file.name,
    )


def _box(shape: Mapping[str, Any]) -> list[float] | None:
    points = shape.get("points")
    if not isinstance(points, list) or not all(map(_is_point, points)):
        return None
    if shape.get("shape_type") == "circle" and len(points) == 2:
        (x, y), (edge_x, edge_y) = points
        radius = math.hypot(edge_x - x, edge_y - y)
        return hull([x - radius, x + radius], [y - radius, y + radius])
    if shape.get("shape_type") in _FLAT:
        return None
    return hull([x for x, _ in points], [y for _, y in points])


def _is_point(value: Any) -> bool:
    return (
        isinstance(value, list)
        and len(value) == 2
        and all(isinstance(each, int | float) and math.isfinite(each) for each in value)
    )


def _decoded(file: Path, text: Any) -> bytes | None:
    try:
        return base64.b64decode(text, validate=False) if isinstance(text, str) else None
    except (ValueError, binascii.Error) as error:
        raise bad_dataset(file, f"imageData is no base64: {error}") from error


FORM = Form("LabelMe", _knows, _read, (".json",), is_per_picture=True)
