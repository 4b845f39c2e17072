"""Tables in text: CSV with a header, and JSON Lines read strictly, a bad line being an error."""

from __future__ import annotations

import csv
import sys
from collections.abc import Iterator
from pathlib import Path
from typing import Any

from regioncap.inputs.fields import bad_dataset, read_json
from regioncap.inputs.lines import MAX_LINE_BYTES, bounded_lines

#: A cell may hold boxes of a thousand regions, or a caption of a book's length.
_MOST_CELL_CHARACTERS = min(sys.maxsize, 10_000_000)
_DELIMITERS = (",", "\t", ";", "|")
_HEAD_CHARACTERS = 1 << 16


def delimiter_of(head: str) -> str:
    """What stands between the cells of a table, by its first line."""
    line = head.lstrip("\r\n").split("\n", 1)[0]
    return max(_DELIMITERS, key=line.count)


def read_csv(path: Path, columns: list[str] | None = None) -> Iterator[dict[str, Any]]:
    """Rows of a CSV or TSV file by its header.

    Args:
        path: The file.
        columns: Names of the columns, of a file without a header.

    Raises:
        UsageError: It is no such table (`bad-dataset`).
    """
    csv.field_size_limit(_MOST_CELL_CHARACTERS)
    try:
        with path.open(encoding="utf-8-sig", newline="") as file:
            delimiter = delimiter_of(file.readline(_HEAD_CHARACTERS))
            file.seek(0)
            rows = csv.DictReader(
                _whole_lines(path, file), columns, strict=True, delimiter=delimiter
            )
            for row in rows:
                if None in row:
                    raise bad_dataset(path, f"line {rows.line_num} has more cells than the header")
                yield dict(row)
    except UnicodeDecodeError as error:
        raise _not_utf8(path) from error
    except csv.Error as error:
        raise bad_dataset(path, f"line {rows.line_num}: {error}") from error
    except OSError as error:
        raise bad_dataset(path, f"cannot be read: {error.strerror}") from error


def _whole_lines(path: Path, file: Any) -> Iterator[str]:
    """Lines of bounded length: the reader's own limit is looked at when a line is there."""
    number = 0
    while line := file.readline(_MOST_CELL_CHARACTERS + 1):
        number += 1
        if len(line) > _MOST_CELL_CHARACTERS:
            what = f"line {number} is longer than {_MOST_CELL_CHARACTERS:,} characters"
            raise bad_dataset(path, what)
        yield line


def read_json_lines(path: Path) -> Iterator[dict[str, Any]]:
    """Objects of a JSON Lines file.

    Raises:
        UsageError: A line is none (`bad-dataset`).
    """
    try:
        with path.open("rb") as file:
            for number, line in enumerate(bounded_lines(file), start=1):
                if line.strip():
                    yield _parsed(path, number, line)
    except UnicodeDecodeError as error:
        raise _not_utf8(path) from error
    except OSError as error:
        raise bad_dataset(path, f"cannot be read: {error.strerror}") from error


def _parsed(path: Path, number: int, line: bytes) -> dict[str, Any]:
    if len(line) > MAX_LINE_BYTES:
        raise bad_dataset(path, f"line {number} is longer than {MAX_LINE_BYTES:,} bytes")
    row = read_json(path, line.decode("utf-8-sig"), f"line {number}")
    if not isinstance(row, dict):
        raise bad_dataset(path, f"line {number} is no JSON object")
    return row


def _not_utf8(path: Path) -> Exception:
    """The error of a file in another encoding, with the line where that shows."""
    with path.open("rb") as file:
        number = next((n for n, line in enumerate(file, start=1) if not _is_utf8(line)), 1)
    return bad_dataset(path, f"line {number} is not UTF-8", "save it as UTF-8")


def _is_utf8(line: bytes) -> bool:
    try:
        line.decode()
    except UnicodeDecodeError:
        return False
    return True
