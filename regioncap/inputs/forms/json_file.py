"""A JSON list of records, as LLaVA has it, or a table by columns, as pandas writes it."""

from __future__ import annotations

from collections.abc import Iterator
from pathlib import Path
from typing import Any

from regioncap.inputs.fields import IMAGE_ALIKE, bad_dataset, make_record
from regioncap.inputs.forms.base import Form, Input, Sample
from regioncap.inputs.forms.document import (
    Document,
    items_of,
    objects_of,
    read_document,
    value_of,
)
from regioncap.records import InputRecord

_NAMES = ("image", *IMAGE_ALIKE)


def _knows(sample: Sample) -> bool:
    document = sample.document
    if isinstance(document, list):
        first = value_of(sample.path, "the first item", document[0]) if document else None
        if isinstance(first, dict) and "image_id" in first and "image" not in first:
            raise bad_dataset(
                sample.path,
                "results of a detector, which do not name their pictures' files",
                "submit the COCO annotations that they belong to, with these boxes in them",
            )
        return isinstance(first, dict)
    return isinstance(document, dict) and any(name in document for name in _NAMES)


def _read(source: Input) -> Iterator[InputRecord]:
    index = 0
    for file in source.files:
        for fields in _rows(file, read_document(file)):
            yield make_record(fields, index=index, reading=source.reading)
            index += 1


def _rows(path: Path, document: Document | None) -> Iterator[dict[str, Any]]:
    columns = _columns(path, document) if isinstance(document, dict) else None
    if columns is None and isinstance(document, dict):  # one record, over several lines perhaps
        yield {name: value_of(path, name, value) for name, value in document.items()}
        return
    if columns is None:
        yield from objects_of(path, "", document)
        return
    rows: dict[str, dict[str, Any]] = {}
    for name, column in columns.items():
        for key, value in column.items():
            rows.setdefault(key, {})[name] = value
    yield from rows.values()


def _columns(path: Path, document: dict[str, Any]) -> dict[str, dict[str, Any]] | None:
    """The columns of a table, each a value by a row's key; None if it is none."""
    name = next((each for each in _NAMES if each in document), None)
    if name is None or not isinstance(value_of(path, name, document[name]), dict):
        return None
    columns = {each: value_of(path, each, value) for each, value in document.items()}
    return columns if all(isinstance(each, dict) for each in columns.values()) else None


def holds_lines(sample: Sample) -> bool:
    """Whether a JSON file holds records a line."""
    return sample.document is None


def is_empty(sample: Sample) -> bool:
    """Whether it is a list of nothing."""
    document = sample.document
    return isinstance(document, list) and not items_of(sample.path, "", document)


FORM = Form("a JSON list of records", _knows, _read, (".json",))
