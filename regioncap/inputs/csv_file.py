"""A CSV file with a row a picture, or a row a box: a column names the picture."""

from __future__ import annotations

from collections.abc import Iterator
from pathlib import Path

from regioncap.inputs.box_fields import has_box_fields
from regioncap.inputs.fields import IMAGE_ALIKE, bad_dataset, make_record
from regioncap.inputs.reading import Reading
from regioncap.inputs.tables import read_csv
from regioncap.records import InputRecord


def read(files: list[Path], reading: Reading) -> Iterator[InputRecord]:
    """Records of a CSV file, a row each.

    Raises:
        UsageError: No column names the picture (`bad-dataset`).
    """
    [path] = files
    for index, row in enumerate(read_csv(path)):
        if not index and not {"image", *IMAGE_ALIKE} & set(row):
            raise bad_dataset(
                path,
                f"no column image among {', '.join(map(str, list(row)[:8]))}",
                "name the column with the pictures' paths image",
            )
        record = make_record(row, index=index, reading=reading)
        record.annotated = has_box_fields(row)
        yield record
