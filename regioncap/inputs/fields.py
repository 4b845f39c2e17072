"""From the fields of other tools' rows to records; pure."""

from __future__ import annotations

import json
from collections.abc import Mapping
from pathlib import Path
from typing import Any

from regioncap.errors import UsageError
from regioncap.inputs.box_fields import boxes_of, holds_boxes
from regioncap.inputs.json_text import with_article
from regioncap.inputs.reading import Reading
from regioncap.records import MAX_REGIONS, InputRecord, Problem

#: Deepest nesting of an input line: parts of the way to the results read no more than twice that.
MAX_DEPTH = 100
#: What other tools call the image.
IMAGE_ALIKE = ("img", "image_path", "path", "file", "file_name", "filename", "image_file", "url")

#: Largest picture taken out of a data set; a file of its own may be as large as the settings say.
MAX_PICTURE_BYTES = 50_000_000


def bad_dataset(path: Path, what: str, hint: str = "") -> UsageError:
    """The error of a file that is not what its name says."""
    return UsageError(f"{path}: {what}", code="bad-dataset", hint=hint)


def from_fields(
    record: InputRecord,
    fields: dict[str, Any],
    *,
    image_key: str = "image",
    bbox_key: str = "bbox",
) -> InputRecord:
    """Fills a record from the fields of a line; those that are none of ours go to meta."""
    if is_deeper(fields, MAX_DEPTH):
        return bad(record, "bad-json", f"nested deeper than {MAX_DEPTH} (flatten its fields)")
    image = fields.pop(image_key, None)
    bbox = fields.pop(bbox_key, None)
    given_id = fields.pop("id", None)
    record.meta = fields
    if isinstance(given_id, str | int) and not isinstance(given_id, bool):
        record.id = given_id
    elif given_id is not None:
        record.meta["id"] = given_id
    if isinstance(image, list) and len(image) == 1:  # as data sets of conversations have it
        image = image[0]
    if not isinstance(image, str) or not image:
        what, remedy = _no_image(image, image_key, fields)
        return bad(record, "no-image", f"{what} ({remedy})")
    record.image = image
    bbox = boxes_of(bbox)
    if holds_boxes(bbox):  # as objects, which keep what else they say
        record.meta[bbox_key] = bbox
        return record
    if bbox is not None and not isinstance(bbox, list):
        what = with_article(bbox)
        return bad(record, "bad-bbox", f"{bbox_key} is {what} (give a list of [x, y, w, h])")
    if bbox and len(bbox) > MAX_REGIONS:
        return bad(record, "too-many-boxes", f"{len(bbox):,} boxes (at most {MAX_REGIONS:,})")
    record.bbox = bbox
    return record


def is_deeper(value: Any, levels: int) -> bool:
    """Whether lists and objects stand in one another more than so many levels deep."""
    layer = [value]
    for _ in range(levels):
        inner = (
            each.values() if isinstance(each, dict) else each if isinstance(each, list) else ()
            for each in layer
        )
        layer = [value for values in inner for value in values if isinstance(value, dict | list)]
        if not layer:
            return False
    return True


def _no_image(image: Any, image_key: str, others: dict[str, Any]) -> tuple[str, str]:
    """What is wrong with a record's image, and the remedy."""
    remedy = "give a path or an s3:// URI"
    if image is None:
        alike = next((name for name in IMAGE_ALIKE if isinstance(others.get(name), str)), None)
        return f"no field {image_key}", f"rename {alike} to {image_key}" if alike else remedy
    return f"{image_key} is {'empty' if image == '' else with_article(image)}", remedy


def bad(record: InputRecord, code: str, message: str) -> InputRecord:
    """A record that cannot be captioned, and why."""
    record.error = Problem(code=code, message=message, stage="submit")
    return record


def make_record(fields: Mapping[str, Any], *, index: int, reading: Reading) -> InputRecord:
    """A record from the fields of a row.

    Args:
        fields: `image` as a path or URI, or under a name that other tools give it; `bbox`; `id`;
            all others go to meta, where boxes of other names are found (`inputs/boxes.py`).
        index: Number of the row, from 0.
        reading: Told of what has no place in a record.
    """
    record = InputRecord(index=index, line=index + 1)
    if is_deeper(dict(fields), MAX_DEPTH):
        return from_fields(record, dict(fields))  # which says so
    rest = plain_fields(fields)
    for name in fields.keys() - rest.keys():
        reading.leave_out("binary values", f"{name} of row {index + 1}")
    if "image" not in rest or rest["image"] is None:
        alike = [name for name in IMAGE_ALIKE if isinstance(rest.get(name), str)]
        if len(alike) == 1:
            rest["image"] = rest.pop(alike[0])
    return from_fields(record, rest)


def plain_fields(fields: Mapping[str, Any]) -> dict[str, Any]:
    """Fields as JSON has them; those that hold bytes are left out."""
    members = {str(name): plain(value) for name, value in fields.items()}
    return {name: value for name, value in members.items() if value is not _BINARY}


_BINARY = object()
_PLAIN = {str, int, bool}


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
    """A value as JSON has it; what JSON has no form for, as text; bytes as nothing at all."""
    if value is None or type(value) in _PLAIN:
        return value
    if isinstance(value, bytes | bytearray | memoryview):
        return _BINARY
    if isinstance(value, Mapping):
        members = {str(name): plain(each) for name, each in value.items()}
        kept = {name: each for name, each in members.items() if each is not _BINARY}
        return kept if len(kept) == len(members) else _BINARY
    if isinstance(value, list | tuple):
        items = [plain(each) for each in value]
        return _BINARY if any(each is _BINARY for each in items) else items
    if hasattr(value, "tolist"):  # of NumPy
        return plain(value.tolist())
    return _plain_scalar(value)


def _plain_scalar(value: Any) -> Any:
    try:
        json.dumps(value, allow_nan=False)
    except (TypeError, ValueError):
        return None if value != value else str(value)  # noqa: PLR0124 - NaN
    return value
