"""CVAT's XML for images: one file of all pictures.

Boxes, and the boxes around polygons, ellipses, masks and skeletons; points and lines are left out.
Format: https://docs.cvat.ai/docs/dataset_management/formats/format-cvat/
"""

from __future__ import annotations

import math
from collections.abc import Iterator
from pathlib import Path
from typing import Any
from xml.etree.ElementTree import Element

from regioncap.inputs.fields import bad_dataset
from regioncap.inputs.forms.base import Boxes, Form, Input, Sample, hull, record_of
from regioncap.inputs.forms.picture_files import Pictures
from regioncap.inputs.forms.xml_file import elements, root_of
from regioncap.inputs.reading import Reading
from regioncap.records import InputRecord

_FLAT = {"points", "polyline"}
_SHAPES = {"box", "polygon", "ellipse", "mask", "skeleton", "cuboid"} | _FLAT


def _knows(sample: Sample) -> bool:
    return sample.start in {b"<", b"\xff", b"\xfe"} and root_of(sample.head) == "annotations"


def _read(source: Input) -> Iterator[InputRecord]:
    pictures, index = Pictures(source, lambda: _names(source)), 0
    for file in source.files:
        for element in elements(file, "image", "track"):
            if element.tag == "track":
                what = "tracks of a video, whose frames have no pictures"
                raise bad_dataset(file, what, "export it as 'CVAT for images'")
            yield _record(file, element, pictures, index, source.reading)
            index += 1
    pictures.leave_out_others()


def _names(source: Input) -> Iterator[tuple[Path, str | None]]:
    for file in source.files:
        yield from ((file, element.get("name")) for element in elements(file, "image"))


def _record(
    file: Path, image: Element, pictures: Pictures, index: int, reading: Reading
) -> InputRecord:
    named, boxes = image.get("name"), Boxes()
    for shape in image:
        where = f"a {shape.tag} of {named}"
        if shape.tag not in _SHAPES:
            continue  # tags of the whole picture
        box = _box(shape)
        if box is not None:
            boxes.add(box, categories=shape.get("label"), attributes=_attributes(shape))
        elif shape.tag in _FLAT:
            reading.leave_out("points and lines, which have no area", where)
        else:
            reading.leave_out("shapes of which no box can be told", where)
    name = pictures.find(file, named)
    return record_of(
        name or named,
        boxes,
        "xyxy",
        index=index,
        reading=reading,
        picture=pictures.path(name),
        width=_whole(image.get("width")),
        height=_whole(image.get("height")),
        id=_whole(image.get("id")),
        subset=image.get("subset"),
        tags=[tag.get("label") for tag in image.findall("tag")] or None,
    )


def _attributes(shape: Element) -> dict[str, Any]:
    return {str(each.get("name")): each.text for each in shape.findall("attribute")}


def _box(shape: Element) -> list[Any] | None:
    numbers = _numbers(shape)
    if shape.tag == "box":
        x1, y1, x2, y2 = numbers("xtl", "ytl", "xbr", "ybr")
        return _rotated(x1, y1, x2, y2, numbers("rotation")[0])
    if shape.tag == "ellipse":
        x, y, rx, ry = numbers("cx", "cy", "rx", "ry")
        turn = math.radians(_or_zero(numbers("rotation")[0]))
        half_w = math.hypot(rx * math.cos(turn), ry * math.sin(turn))
        half_h = math.hypot(rx * math.sin(turn), ry * math.cos(turn))
        return hull([x - half_w, x + half_w], [y - half_h, y + half_h])
    if shape.tag == "mask":
        left, top, width, height = numbers("left", "top", "width", "height")
        return hull([left, left + width], [top, top + height])
    if shape.tag == "cuboid":
        corners = [f"{axis}{corner}{n}" for n in "12" for corner in ("tl", "tr", "bl", "br")
                   for axis in "xy"]  # fmt: skip
        sides = [each for each in numbers(*corners) if math.isfinite(each)]
        return hull(sides[::2], sides[1::2])
    if shape.tag == "skeleton":
        points = [point for part in shape.findall("points") for point in _points(part)]
    else:
        points = _points(shape) if shape.tag == "polygon" else []
    return hull([x for x, _ in points], [y for _, y in points])


def _numbers(shape: Element) -> Any:
    def numbers(*names: str) -> list[float]:
        return [_float(shape.get(name)) for name in names]

    return numbers


def _float(text: str | None) -> float:
    try:
        return float(text or "nan")
    except ValueError:
        return math.nan


def _or_zero(value: float) -> float:
    return value if math.isfinite(value) else 0.0


def _rotated(x1: float, y1: float, x2: float, y2: float, degrees: float) -> list[float] | None:
    """The box around a box that is turned about its centre."""
    turn = math.radians(_or_zero(degrees))
    if not turn:
        return [x1, y1, x2, y2]
    x, y, half_w, half_h = (x1 + x2) / 2, (y1 + y2) / 2, (x2 - x1) / 2, (y2 - y1) / 2
    wide = abs(half_w * math.cos(turn)) + abs(half_h * math.sin(turn))
    high = abs(half_w * math.sin(turn)) + abs(half_h * math.cos(turn))
    return [x - wide, y - high, x + wide, y + high]


def _points(shape: Element) -> list[tuple[float, float]]:
    pairs = [pair.split(",") for pair in (shape.get("points") or "").split(";") if pair]
    found = [(_float(pair[0]), _float(pair[1])) for pair in pairs if len(pair) == 2]
    return [(x, y) for x, y in found if math.isfinite(x) and math.isfinite(y)]


def _whole(text: str | None) -> int | None:
    return int(text) if text and text.isdecimal() and len(text) < 16 else None


FORM = Form("CVAT", _knows, _read, (".xml",))
