"""VGG Image Annotator's JSON, of version 1 and 2: a project, or its annotations.

Format: https://www.robots.ox.ac.uk/~vgg/software/via/
"""

from __future__ import annotations

from collections.abc import Iterator, Mapping
from pathlib import Path
from typing import Any

from regioncap.inputs.fields import bad_dataset
from regioncap.inputs.forms.base import Boxes, Form, Input, Sample, hull, record_of
from regioncap.inputs.forms.document import read_document, value_of
from regioncap.inputs.forms.picture_files import Pictures
from regioncap.inputs.reading import Reading
from regioncap.records import InputRecord

_METADATA = "_via_img_metadata"


def _knows(sample: Sample) -> bool:
    document = sample.document
    if not isinstance(document, dict):
        return False
    if _METADATA in document:
        return True
    first = next(iter(document.values()), None)
    said = value_of(sample.path, "the first member", first)
    return isinstance(said, dict) and "regions" in said and "filename" in said


def _read(source: Input) -> Iterator[InputRecord]:
    pictures, index = Pictures(source, lambda: _names(source)), 0
    for file in source.files:
        for each in _members(file):
            yield _record(file, each, pictures, index, source.reading)
            index += 1
    pictures.leave_out_others()


def _members(file: Path) -> Iterator[Mapping[str, Any]]:
    document = read_document(file)
    found = document if isinstance(document, dict) else {}
    if _METADATA in found:
        found = value_of(file, _METADATA, found[_METADATA])
    for key, value in found.items():
        each = value_of(file, key, value)
        if not isinstance(each, dict):
            raise bad_dataset(file, f"{key} is no object")
        yield each


def _named(each: Mapping[str, Any]) -> str | None:
    named = each.get("filename")
    return named if isinstance(named, str) else None


def _names(source: Input) -> Iterator[tuple[Path, str | None]]:
    for file in source.files:
        yield from ((file, _named(each)) for each in _members(file))


def _record(
    file: Path, each: Mapping[str, Any], pictures: Pictures, index: int, reading: Reading
) -> InputRecord:
    named, boxes = _named(each), Boxes()
    regions = each.get("regions")
    listed = list(regions.values()) if isinstance(regions, dict) else regions or []
    for number, region in enumerate(listed):
        shape = region.get("shape_attributes") if isinstance(region, dict) else None
        box = box_of(shape)
        if box is None:
            what = "regions that are no shape with an area"
            reading.leave_out(what, f"regions[{number}] of {named}")
            continue
        said = region.get("region_attributes")
        boxes.add(box, categories=label_of(said), attributes=said)
    name = pictures.find(file, named)
    return record_of(
        name or named, boxes, "xyxy", index=index,
        reading=reading, picture=pictures.path(name),
        file_attributes=each.get("file_attributes") or None,
    )  # fmt: skip


def box_of(shape: Any) -> list[float] | None:
    """The box around a shape, as corners; None if it has no area."""
    try:
        return _box_of(shape)
    except (KeyError, TypeError):
        return None


def _box_of(shape: Mapping[str, Any]) -> list[float] | None:
    kind = shape["name"]
    if kind == "rect":
        x, y, width, height = (shape[side] for side in ("x", "y", "width", "height"))
        return [x, y, x + width, y + height]
    if kind in {"circle", "ellipse"}:
        x, y = shape["cx"], shape["cy"]
        rx, ry = (shape["r"],) * 2 if kind == "circle" else (shape["rx"], shape["ry"])
        return hull([x - rx, x + rx], [y - ry, y + ry])
    if kind == "polygon":
        return hull(shape["all_points_x"], shape["all_points_y"])
    return None


def label_of(said: Any) -> Any:
    """The one value of a region's attributes, or that of the one called so."""
    if not isinstance(said, dict) or not said:
        return None
    known = next((said[name] for name in ("label", "class", "name", "type") if name in said), None)
    return known if known is not None else next(iter(said.values())) if len(said) == 1 else None


FORM = Form("VGG Image Annotator", _knows, _read, (".json",))
