"""From the fields of other tools' rows to records; pure."""

from __future__ import annotations

import json
from collections.abc import Mapping
from pathlib import Path
from typing import Any

from regioncap.errors import UsageError
from regioncap.records import InputRecord, from_fields

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
    rest = {name: plain(value) for name, value in fields.items()}
    boxes = _take_boxes(rest)
    return from_fields(InputRecord(index=index, line=index + 1), {**rest, "bbox": boxes})


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
