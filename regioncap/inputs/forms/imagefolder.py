"""Hugging Face's imagefolder: pictures beside a table that says what belongs to each.

Layout: https://huggingface.co/docs/datasets/image_load#imagefolder
"""

from __future__ import annotations

from collections.abc import Iterator
from pathlib import Path
from typing import Any

from regioncap.inputs.box_fields import has_box_fields
from regioncap.inputs.fields import bad_dataset, make_record
from regioncap.inputs.forms.base import Input
from regioncap.inputs.forms.parquet import read_rows
from regioncap.inputs.forms.tables import read_csv, read_json_lines
from regioncap.records import InputRecord

#: Names of the table.
TABLES = ("metadata.jsonl", "metadata.csv", "metadata.parquet")


def read(source: Input) -> Iterator[InputRecord]:
    """Records of a folder's tables, as a stream; one as in `train/` names pictures beside itself.

    A picture without boxes has no regions if any row of the tables has a field of boxes.
    """
    tables = source.files
    annotated = any(has_box_fields(row) for table in tables for row in _rows(table))
    index = 0
    for table in tables:
        beside = table.parent.relative_to(source.root)
        for row in _rows(table):
            name = row.pop("file_name", None)
            row["image"] = str(beside / name) if isinstance(name, str) and name else name
            record = make_record(row, index=index, reading=source.reading)
            record.annotated = annotated
            yield record
            index += 1


def _rows(table: Path) -> Iterator[dict[str, Any]]:
    if table.suffix == ".parquet":
        return _whole_rows(table)
    return read_csv(table) if table.suffix == ".csv" else read_json_lines(table)


def _whole_rows(table: Path) -> Iterator[dict[str, Any]]:
    for number, row in enumerate(read_rows([table]), start=1):
        if row is None:
            raise bad_dataset(table, f"row {number} is too large")
        yield row
