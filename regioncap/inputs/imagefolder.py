"""Hugging Face's imagefolder: pictures beside a table that says what belongs to each.

Layout: https://huggingface.co/docs/datasets/image_load#imagefolder
"""

from __future__ import annotations

import csv
import json
from collections.abc import Iterator
from pathlib import Path
from typing import Any

from regioncap.inputs.fields import bad_dataset, make_record
from regioncap.inputs.parquet import read_rows
from regioncap.records import InputRecord

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
        yield from read_rows([table])
        return
    with table.open(encoding="utf-8-sig", newline="") as file:
        if table.suffix == ".csv":
            yield from csv.DictReader(file)
            return
        for number, line in enumerate(file, start=1):
            if line.strip():
                yield _parsed(table, number, line)


def _parsed(table: Path, number: int, line: str) -> dict[str, Any]:
    try:
        row = json.loads(line)
    except ValueError as error:
        raise bad_dataset(table, f"line {number} is no JSON: {error}") from error
    if not isinstance(row, dict):
        raise bad_dataset(table, f"line {number} is no JSON object")
    return row
