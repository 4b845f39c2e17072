"""Hugging Face's imagefolder: pictures beside a table that says what belongs to each.

Layout: https://huggingface.co/docs/datasets/image_load#imagefolder
"""

from __future__ import annotations

import codecs
import csv
from collections.abc import Iterator
from pathlib import Path
from typing import Any

from regioncap.inputs.fields import bad_dataset, make_record, read_json
from regioncap.inputs.lines import bounded_lines
from regioncap.inputs.parquet import read_rows
from regioncap.records import MAX_LINE_BYTES, InputRecord

#: Names of the table.
TABLES = ("metadata.jsonl", "metadata.csv", "metadata.parquet")


def read(folder: Path, tables: list[Path]) -> Iterator[InputRecord]:
    """Records of a folder, as a stream.

    Args:
        folder: What image paths are made relative to.
        tables: Its tables; one below the folder, as in `train/`, names pictures beside itself.
    """
    index = 0
    for table in tables:
        beside = table.parent.relative_to(folder)
        for row in _rows(table):
            name = row.pop("file_name", None)
            row["image"] = str(beside / name) if isinstance(name, str) else None
            yield make_record(row, index=index)
            index += 1


def _rows(table: Path) -> Iterator[dict[str, Any]]:
    if table.suffix == ".parquet":
        for number, row in enumerate(read_rows([table]), start=1):
            if row is None:
                raise bad_dataset(table, f"row {number} is too large")
            yield row
        return
    try:
        if table.suffix == ".csv":
            with table.open(encoding="utf-8-sig", newline="") as file:
                yield from csv.DictReader(file)
            return
        with table.open("rb") as lines:
            for number, line in enumerate(bounded_lines(lines), start=1):
                if line.strip():
                    yield _parsed(table, number, line)
    except (OSError, UnicodeDecodeError, csv.Error) as error:
        raise bad_dataset(table, f"cannot be read: {error}") from error


def _parsed(table: Path, number: int, line: bytes) -> dict[str, Any]:
    if len(line) > MAX_LINE_BYTES:
        raise bad_dataset(table, f"line {number} is longer than {MAX_LINE_BYTES:,} bytes")
    row = read_json(table, line.removeprefix(codecs.BOM_UTF8), f"line {number}")
    if not isinstance(row, dict):
        raise bad_dataset(table, f"line {number} is no JSON object")
    return row
