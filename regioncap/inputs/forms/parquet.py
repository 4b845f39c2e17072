"""Parquet, one row a picture: `image` as a path, as bytes, or as Hugging Face's struct of both."""

from __future__ import annotations

from collections.abc import Iterable, Iterator
from pathlib import Path
from typing import Any

from regioncap.inputs.box_fields import has_box_fields
from regioncap.inputs.fields import (
    IMAGE_ALIKE,
    MAX_PICTURE_BYTES,
    bad_dataset,
    give_picture,
    make_record,
    too_large,
)
from regioncap.inputs.forms.base import Form, Input, Sample
from regioncap.inputs.forms.hf_features import ClassNames
from regioncap.inputs.reading import Reading
from regioncap.packages import require
from regioncap.records import InputRecord

_IMAGE_COLUMNS = ("image", *IMAGE_ALIKE, "jpg", "png")


def read(source: Input) -> Iterator[InputRecord]:
    """Records of Parquet files, in order, as a stream."""
    yield from records_of(read_rows(source.files), source.reading)


def records_of(rows: Iterable[dict[str, Any] | None], reading: Reading) -> Iterator[InputRecord]:
    """Records of rows; of one that is None, which is too large, a record that says so."""
    for index, row in enumerate(rows):
        if row is None:
            record = InputRecord(index=index, line=index + 1)
            yield too_large(record, f"row {index + 1}")
        else:
            yield _record(row, index, reading)


def _knows(sample: Sample) -> bool:
    return sample.head.startswith(b"PAR1")


def has_images(path: Path) -> bool:
    """Whether a column may hold pictures or their paths; raises as `read_rows` does."""
    require("pyarrow", "reading Parquet")
    import pyarrow as pa
    import pyarrow.parquet as pq

    try:
        names = pq.read_schema(path).names
    except (pa.ArrowException, OSError) as error:
        raise bad_dataset(path, f"cannot be read as Parquet: {error}") from error
    return any(name in names for name in _IMAGE_COLUMNS)


def read_rows(files: list[Path]) -> Iterator[dict[str, Any] | None]:
    """Rows of Parquet files; None for one that is larger than any picture that is taken.

    They are read one by one: how large a row is shows only when it is there, and a file of some
    kilobytes may hold thousands of rows of megabytes.

    Raises:
        UsageError: pyarrow is missing (`missing-extra`), or a file is no Parquet (`bad-dataset`).
    """
    require("pyarrow", "reading Parquet")
    import pyarrow as pa
    import pyarrow.parquet as pq

    for path in files:
        try:
            with pq.ParquetFile(path) as file:
                classes = ClassNames(file.schema_arrow.metadata)
                for batch in file.iter_batches(batch_size=1):
                    is_large = batch.nbytes > MAX_PICTURE_BYTES
                    rows = [None] if is_large else list(map(classes.add_to, batch.to_pylist()))
                    del batch  # before the next is read
                    if is_large:
                        pa.default_memory_pool().release_unused()
                    yield from rows
        except (pa.ArrowException, OSError) as error:
            raise bad_dataset(path, f"cannot be read as Parquet: {error}") from error


def _record(row: dict[str, Any], index: int, reading: Reading) -> InputRecord:
    column = next((name for name in _IMAGE_COLUMNS if row.get(name) is not None), "image")
    image, data = row.get(column), None
    if isinstance(image, dict):
        data, image = image.get("bytes"), image.get("path")
    if isinstance(image, bytes):
        data, image = image, None
    if data is not None:
        image = image or f"row-{index}"
    others = {name: value for name, value in row.items() if name != column}
    record = make_record({**others, "image": image}, index=index, reading=reading)
    record.annotated = has_box_fields(row)
    return give_picture(record, data)


FORM = Form("Parquet", _knows, read, (".parquet",))
