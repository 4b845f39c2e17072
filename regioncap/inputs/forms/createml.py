"""CreateML's JSON: one file of all pictures, boxes by their centre, in pixels.

Format: https://developer.apple.com/documentation/createml/building-an-object-detector-data-source
"""

from __future__ import annotations

from collections.abc import Iterator, Mapping
from pathlib import Path
from typing import Any

from regioncap.inputs.fields import bad_dataset
from regioncap.inputs.forms.base import Boxes, Form, Input, Sample, record_of
from regioncap.inputs.forms.document import objects_of, read_document, value_of
from regioncap.inputs.forms.picture_files import Pictures
from regioncap.records import InputRecord

_SIDES = ("x", "y", "width", "height")
_NAMES = ("image", "imagefilename", "filename")


def _knows(sample: Sample) -> bool:
    document = sample.document
    if not isinstance(document, list) or not document:
        return False
    for item in document[:20]:
        first = value_of(sample.path, "the first item", item)
        listed = first.get("annotations") if isinstance(first, dict) else None
        if not isinstance(listed, list) or not any(name in first for name in _NAMES):
            return False
        if listed:
            return isinstance(listed[0], dict) and "coordinates" in listed[0]
    return False


def _read(source: Input) -> Iterator[InputRecord]:
    pictures, index = Pictures(source, lambda: _names(source)), 0
    for file in source.files:
        for each in objects_of(file, "", read_document(file)):
            named = _named(each)
            boxes = Boxes()
            for number, said in enumerate(each.get("annotations") or []):
                if not isinstance(said, dict):
                    raise bad_dataset(file, f"[{index}].annotations[{number}] is no object")
                boxes.add(_box(said), categories=said.get("label"))
            name = pictures.find(file, named)
            yield record_of(
                name or named, boxes, "cxcywh", index=index, reading=source.reading,
                picture=pictures.path(name),
            )  # fmt: skip
            index += 1
    pictures.leave_out_others()


def _named(each: Mapping[str, Any]) -> str | None:
    return next((each[name] for name in _NAMES if isinstance(each.get(name), str)), None)


def _names(source: Input) -> Iterator[tuple[Path, str | None]]:
    for file in source.files:
        yield from ((file, _named(each)) for each in objects_of(file, "", read_document(file)))


def _box(said: Mapping[str, Any]) -> list[Any]:
    place = said.get("coordinates")
    return [place.get(side) for side in _SIDES] if isinstance(place, dict) else [None]


FORM = Form("CreateML", _knows, _read, (".json",))
