"""From the fields of other tools' rows to records; pure."""

from __future__ import annotations

import json
from collections.abc import Mapping
from pathlib import Path
from typing import Any

from regioncap.errors import UsageError
from regioncap.records import MAX_DEPTH, InputRecord, Problem, from_fields, is_deeper

#: Largest picture taken out of a data set; a file of its own may be as large as the settings say.
MAX_PICTURE_BYTES = 64_000_000

#: Names under which boxes are looked for, in this order.
_BOXES = ("bbox", "bboxes", "boxes")


def bad_dataset(path: Path, what: str, hint: str = "") -> UsageError:
    """The error of a file that is not what its name says."""
    return UsageError(f"{path}: {what}", code="bad-dataset", hint=hint)


def make_record(fields: Mapping[str, Any], *, index: int) -> InputRecord:
    """A record from the fields of a row.

    Args:
        fields: `image` as a path or URI; `bbox` (or bboxes, boxes), or as data sets for object
            detection have it, `objects` with a list `bbox`; `id`; all others go to meta.
        index: Number of the row, from 0.
    """
    record = InputRecord(index=index, line=index + 1)
    if is_deeper(dict(fields), MAX_DEPTH):
        return from_fields(record, dict(fields))  # which says so
    rest = {name: plain(value) for name, value in fields.items()}
    boxes = _take_boxes(rest)
    return from_fields(record, {**rest, "bbox": boxes})


def _take_boxes(fields: dict[str, Any]) -> Any:
    for name in _BOXES:
        if fields.get(name) is not None:
            return fields.pop(name)
    objects = fields.get("objects")
    if isinstance(objects, dict):
        return objects.get("bbox")
    if isinstance(objects, list):
        return [each.get("bbox") for each in objects if isinstance(each, dict)] or None
    return None


def give_picture(record: InputRecord, data: bytes | None) -> InputRecord:
    """Puts the picture that lies in a data set into its record, unless it is too large."""
    if data is not None and len(data) > MAX_PICTURE_BYTES:
        return too_large(record, f"image {record.image!r}") if record.error is None else record
    record.picture = data
    return record


def too_large(record: InputRecord, what: str) -> InputRecord:
    """A record whose picture is larger than what is taken out of a data set."""
    message = (
        f"{what} has more than {MAX_PICTURE_BYTES:,} bytes "
        "(save it smaller, or as a file of its own)"
    )
    record.error = Problem(code="image-too-large", message=message, stage="submit")
    return record


def read_json(path: Path, text: str | bytes, what: str, hint: str = "") -> Any:
    """The value of a JSON text in a file.

    Args:
        path: The file.
        text: The text.
        what: What of the file it is, for the error.
        hint: What to do if it is none.

    Raises:
        UsageError: It is none, or is nested too deeply to be read (`bad-dataset`).
    """
    try:
        return json.loads(text)
    except (ValueError, RecursionError) as error:
        raise bad_dataset(path, f"{what} is no JSON: {error}", hint) from error


def plain(value: Any) -> Any:
    """A value as JSON has it; what JSON has no form for, as text."""
    if isinstance(value, Mapping):
        return {str(name): plain(each) for name, each in value.items()}
    if isinstance(value, list | tuple):
        return [plain(each) for each in value]
    try:
        json.dumps(value, allow_nan=False)
    except (TypeError, ValueError):
        return str(value)
    return value
