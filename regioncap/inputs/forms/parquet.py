"""Parquet, one row a picture: `image` as a path, as bytes, or as Hugging Face's struct of both."""

from __future__ import annotations

from collections import deque
from collections.abc import Iterable, Iterator
from itertools import islice, repeat
from pathlib import Path
from typing import Any

from regioncap.errors import UsageError
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
from regioncap.inputs.forms.parquet_pages import rows_at_a_time
from regioncap.inputs.reading import Reading
from regioncap.packages import require
from regioncap.records import InputRecord

#: Rows by which a table is known.
_FEW_ROWS = 20
_IMAGE_COLUMNS = ("image", *IMAGE_ALIKE, "jpg", "jpeg", "png", "webp")


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


def names_pictures(path: Path) -> bool:
    """Whether a table names pictures that lie beside it, as its first rows tell."""
    try:
        with path.open("rb") as file:
            if file.read(4) != b"PAR1":
                return False
        for row in islice(read_rows([path]), _FEW_ROWS):
            image = next((row[name] for name in _IMAGE_COLUMNS if row and row.get(name)), None)
            named = image.get("path") if isinstance(image, dict) else image
            if isinstance(named, str) and (path.parent / named).is_file():
                return True
    except (UsageError, OSError, ValueError):  # a stray file, which is named as left out
        return False
    return False


def read_rows(files: list[Path]) -> Iterator[dict[str, Any] | None]:
    """Rows of Parquet files; None for one that is larger than any picture that is taken.

    As many are read at a time as fit: how large they become shows before only roughly.

    Raises:
        UsageError: pyarrow is missing (`missing-extra`), or a file is no Parquet (`bad-dataset`).
    """
    require("pyarrow", "reading Parquet")
    import pyarrow as pa
    import pyarrow.parquet as pq

    for path in files:
        try:
            with path.open("rb") as raw, pq.ParquetFile(path) as file:
                classes = ClassNames(file.schema_arrow.metadata)
                for number in range(file.num_row_groups):
                    group = file.metadata.row_group(number)
                    count = rows_at_a_time(raw, group)
                    if count:
                        rows = _rows_of(file.iter_batches(count, row_groups=[number]))
                        yield from (row and classes.add_to(row) for row in rows)
                    else:
                        yield from repeat(None, group.num_rows)
        except (pa.ArrowException, OSError) as error:
            raise bad_dataset(path, f"cannot be read as Parquet: {error}") from error


def _rows_of(batches: Iterator[Any]) -> Iterator[dict[str, Any] | None]:
    while (batch := next(batches, None)) is not None:
        slices = [batch.slice(at, 1) for at in range(batch.num_rows)] if _is_large(batch) else []
        read = [None if _is_large(row) else row.to_pylist()[0] for row in slices]
        rows = deque(read or batch.to_pylist())
        del batch, slices, read  # before the next is read
        while rows:
            yield rows.popleft()


def _is_large(batch: Any) -> bool:
    return bool(batch.nbytes > MAX_PICTURE_BYTES)


def _holds_picture(value: Any) -> bool:
    data = value.get("bytes") if isinstance(value, dict) else value
    return isinstance(data, bytes)


def _record(row: dict[str, Any], index: int, reading: Reading) -> InputRecord:
    columns = [name for name in _IMAGE_COLUMNS if row.get(name) is not None]
    # A picture that is here comes before the name of one: img2dataset keeps its `url` beside it.
    column = next(filter(lambda name: _holds_picture(row[name]), columns), (*columns, "image")[0])
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
