"""A .json file: COCO annotations, a list of records, or JSON Lines under another name."""

from __future__ import annotations

import json
from collections.abc import Iterator
from pathlib import Path
from typing import Any

from regioncap.inputs import coco, label_studio
from regioncap.inputs.fields import bad_dataset, make_record
from regioncap.inputs.lines import read_lines
from regioncap.inputs.reading import Reading
from regioncap.records import InputRecord

_HINT = "COCO annotations, a list of records or one record a line are read"


def read(files: list[Path], reading: Reading) -> Iterator[InputRecord]:
    """Records of a .json file; what it holds tells how it is read.

    Raises:
        UsageError: It is none of those known (`bad-dataset`).
    """
    [path] = files
    yield from _records(path, load(path), reading)


def load(path: Path) -> Any:
    """What a JSON file holds; None for several values, as JSON Lines are.

    Raises:
        UsageError: It is no JSON (`bad-dataset`).
    """
    try:
        return json.loads(path.read_bytes())
    except OSError as error:
        raise bad_dataset(path, f"cannot be read: {error.strerror}") from error
    except json.JSONDecodeError as error:
        if error.msg != "Extra data":
            raise bad_dataset(path, f"not JSON: {error}", _HINT) from error
        return None
    except (ValueError, RecursionError) as error:
        raise bad_dataset(path, f"not JSON: {error}", _HINT) from error


def _records(path: Path, content: Any, reading: Reading) -> Iterator[InputRecord]:
    if coco.is_coco(content):
        reading.form = "COCO annotations"
        yield from coco.read(path, content, reading)
    elif label_studio.is_tasks(content):
        reading.form = "Label Studio's tasks"
        yield from label_studio.read(content, reading)
    elif isinstance(content, list) and content and all(isinstance(x, dict) for x in content):
        reading.form = "a JSON list of records"
        for index, fields in enumerate(content):
            yield make_record(fields, index=index, reading=reading)
    elif content is None or (isinstance(content, dict) and "image" in content):
        reading.form = "JSON Lines"
        with path.open("rb") as file:
            yield from read_lines(file)
    else:
        raise bad_dataset(path, "no COCO annotations, and no list of records", _HINT)
