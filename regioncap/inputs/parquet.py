"""Parquet, one row a picture: `image` as a path, as bytes, or as Hugging Face's struct of both."""

from __future__ import annotations

from collections.abc import Iterator
from pathlib import Path
from typing import Any

from regioncap.inputs.fields import bad_dataset, make_record
from regioncap.packages import require
from regioncap.records import InputRecord

#: Rows held at a time; a row may hold a picture.
_BATCH_ROWS = 64


def read(files: list[Path]) -> Iterator[InputRecord]:
    """Records of Parquet files, in order, as a stream."""
    for index, row in enumerate(read_rows(files)):
        yield _record(row, index)


def read_rows(files: list[Path]) -> Iterator[dict[str, Any]]:
    """Rows of Parquet files.

    Raises:
        UsageError: pyarrow is missing (`missing-extra`), or a file is no Parquet (`bad-dataset`).
    """
    require("pyarrow", "reading Parquet")
    import pyarrow as pa
    import pyarrow.parquet as pq

    for path in files:
        try:
            with pq.ParquetFile(path) as file:
                for batch in file.iter_batches(batch_size=_BATCH_ROWS):
                    yield from batch.to_pylist()
        except (pa.ArrowException, OSError) as error:
            raise bad_dataset(path, f"cannot be read as Parquet: {error}") from error


def _record(row: dict[str, Any], index: int) -> InputRecord:
    image, data = row.get("image"), None
    if isinstance(image, dict):
        data, image = image.get("bytes"), image.get("path")
    if isinstance(image, bytes):
        data, image = image, None
    if data is not None:
        image = image or f"row-{index}"
    record = make_record({**row, "image": image}, index=index)
    record.picture = data
    return record
