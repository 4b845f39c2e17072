"""JSON files, of which no more is made into objects than is asked for.

A file takes its own size in memory, and what is asked for of it: of COCO annotations of a gigabyte
most are outlines that nobody reads.
"""

from __future__ import annotations

import json
import re
from collections.abc import Iterator
from pathlib import Path
from typing import Any

import msgspec

from regioncap.inputs.fields import bad_dataset

#: The value of a JSON object or list, whose members may be `msgspec.Raw`: text not yet read.
Document = dict[str, Any] | list[Any]

_BOM = b"\xef\xbb\xbf"
_DEEP = "nested too deeply"


def read_document(path: Path) -> Document | None:
    """The object or list that a JSON file holds; None for several values, as JSON Lines are.

    Raises:
        UsageError: It cannot be read or is no JSON (`bad-dataset`).
    """
    try:
        data = path.read_bytes().removeprefix(_BOM)
        kind: Any = dict[str, msgspec.Raw] if data.lstrip()[:1] == b"{" else list[msgspec.Raw]
        found: Document = msgspec.json.decode(data, type=kind)
    except OSError as error:
        raise bad_dataset(path, f"cannot be read: {error.strerror}") from error
    except RecursionError as error:
        raise bad_dataset(path, f"not JSON that is read: {_DEEP}") from error
    except (msgspec.DecodeError, UnicodeDecodeError):
        return _leniently(path, data)
    return found


def _leniently(path: Path, data: bytes) -> Document | None:
    """As Python reads JSON, which knows NaN, lone surrogates and UTF-16."""
    try:
        found = json.loads(data)
    except json.JSONDecodeError as error:
        if error.msg == "Extra data":
            return None
        raise bad_dataset(path, f"not JSON: {error}") from error
    except RecursionError as error:
        raise bad_dataset(path, f"not JSON that is read: {_DEEP}") from error
    except ValueError as error:
        raise bad_dataset(path, f"not JSON: {error}") from error
    return found if isinstance(found, dict | list) else None


def value_of(path: Path, where: str, value: Any) -> Any:
    """A member, read whole.

    Args:
        path: The file, for the error.
        where: The member's place in it, for the error.
        value: The member as it stands in a document.

    Raises:
        UsageError: It is no JSON, or is nested too deeply (`bad-dataset`).
    """
    if not isinstance(value, msgspec.Raw):
        return value
    try:
        return msgspec.json.decode(value)
    except RecursionError as error:
        raise bad_dataset(path, f"{where} is {_DEEP}") from error
    except (msgspec.MsgspecError, UnicodeDecodeError):
        pass
    try:
        return json.loads(bytes(value))
    except (ValueError, RecursionError) as error:
        raise bad_dataset(path, f"{where} is no JSON: {error}") from error


def holds_text(value: Any, pattern: bytes) -> bool:
    """Whether the JSON text of a member matches a pattern somewhere; it is not copied."""
    text = memoryview(value) if isinstance(value, msgspec.Raw) else json.dumps(value).encode()
    return re.search(pattern, text) is not None


def items_of(path: Path, where: str, value: Any) -> list[Any]:
    """The items of a list, not read themselves; none where there is no list at all.

    Raises:
        UsageError: It is something else (`bad-dataset`).
    """
    if isinstance(value, msgspec.Raw) and bytes(memoryview(value)[:1]) == b"[":
        try:
            items: list[Any] = msgspec.json.decode(value, type=list[msgspec.Raw])
        except (msgspec.MsgspecError, RecursionError, UnicodeDecodeError):
            value = value_of(path, where, value)
        else:
            return items
    value = value_of(path, where, value)
    if value is None:
        return []
    if not isinstance(value, list):
        raise bad_dataset(path, f"{where} is no list")
    return value


def objects_of(path: Path, where: str, value: Any) -> Iterator[dict[str, Any]]:
    """The objects of a list, each read when it is taken; raises as `items_of`, for other items."""
    for number, item in enumerate(items_of(path, where, value)):
        place = f"{where}[{number}]"
        found = value_of(path, place, item)
        if not isinstance(found, dict):
            raise bad_dataset(path, f"{place} is no object")
        yield found
