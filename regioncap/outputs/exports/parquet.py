"""Parquet: one row a region, written with pyarrow, zstd-compressed."""

from __future__ import annotations

from collections.abc import Iterable, Iterator
from itertools import islice
from pathlib import Path
from typing import Any

from regioncap.outputs.exports.base import (
    BOX_CONVENTION,
    BOX_FORMAT,
    About,
    Item,
    Pictures,
    compact_json,
)
from regioncap.outputs.exports.rows import COLUMNS, region_rows

#: Rows of a row group: a few megabytes, large enough to compress well and to skip by.
_GROUP_ROWS = 10_000
#: Rows that are Python's own objects at a time: those take ten times the memory of columns.
_BATCH_ROWS = 1_000

_INTEGERS = {"index", "width", "height", "region", "verified_as"}


class Parquet:
    """One file with a fixed schema; the box's convention is in the metadata of file and column."""

    name = "parquet"
    makes_folder = False
    pictures: Pictures = "none"
    packages: tuple[str, ...] = ("pyarrow",)

    def write(self, items: Iterable[Item], path: Path, about: About) -> None:
        """Writes one file; see `Format.write`."""
        import pyarrow as pa
        import pyarrow.parquet as pq

        schema = _schema(about)
        rows = region_rows(items)
        with pq.ParquetWriter(path, schema, compression="zstd") as writer:
            while tables := list(batches(islice(rows, _GROUP_ROWS), schema)):
                writer.write_table(pa.concat_tables(tables), row_group_size=_GROUP_ROWS)


def batches(rows: Iterator[dict[str, Any]], schema: Any) -> Iterator[Any]:
    """Rows as tables of a schema, a thousand rows at a time."""
    while batch := list(islice(rows, _BATCH_ROWS)):
        yield _table(batch, schema)


def _table(rows: list[dict[str, Any]], schema: Any) -> Any:
    """Rows as columns, by way of JSON: `Table.from_pylist` imports pandas where there is one."""
    import pyarrow as pa
    from pyarrow.json import ParseOptions, ReadOptions, read_json

    text = "\n".join(map(compact_json, rows)).encode()
    return read_json(
        pa.BufferReader(text),
        # One block, so that no row is too long for it; threads would have nothing to share.
        read_options=ReadOptions(use_threads=False, block_size=len(text) + 1),
        parse_options=ParseOptions(explicit_schema=schema),
    )


def _schema(about: About) -> Any:
    import pyarrow as pa

    types = {"bbox": pa.list_(pa.float64()), "verified": pa.bool_()} | dict.fromkeys(
        _INTEGERS, pa.int64()
    )
    fields = [
        pa.field(
            name,
            types.get(name, pa.string()),
            metadata={"box_convention": BOX_CONVENTION} if name == "bbox" else None,
        )
        for name in COLUMNS
    ]
    return pa.schema(
        fields,
        metadata={
            "regioncap.job": about.job,
            "regioncap.box_format": BOX_FORMAT,
            "regioncap.box_convention": BOX_CONVENTION,
        },
    )
