"""How many rows of a Parquet file are read together, by what its headers say."""

from __future__ import annotations

import io
import random
from typing import Any

import pyarrow as pa
import pyarrow.parquet as pq
import pytest

from regioncap.inputs.fields import MAX_PICTURE_BYTES
from regioncap.inputs.forms.parquet_pages import rows_at_a_time

pytestmark = pytest.mark.slow

FEW = 2_000


def rows(values: dict[str, Any], **options: Any) -> int:
    """Of the first row group of a table."""
    file = io.BytesIO()
    pq.write_table(pa.table(values), file, **{"compression": "zstd"} | options)
    return rows_at_a_time(file, pq.ParquetFile(file).metadata.row_group(0))


def noise(size: int) -> bytes:
    return random.Random(0).randbytes(size)


def test_small_rows_are_read_by_the_thousand() -> None:
    boxes = [[[1.0, 2.0, 3.0, float(number)]] for number in range(FEW)]
    values = {"image": [f"{number}.jpg" for number in range(FEW)], "bbox": boxes}
    for options in ({}, {"use_dictionary": False}, {"data_page_version": "2.0"}):
        assert 500 <= rows(values, **options) <= 1024


@pytest.mark.parametrize("dictionary", [True, False])
def test_large_rows_are_read_one_by_one(dictionary: bool) -> None:
    large = b"\0" * (MAX_PICTURE_BYTES // 3)
    assert rows({"image": [large] * 2}, use_dictionary=dictionary) == 1


@pytest.mark.parametrize("dictionary", [True, False])
def test_a_value_that_many_rows_name_counts_as_often(dictionary: bool) -> None:
    values = {"image": [b"\0" * 1_000_000] * 40}
    found = rows(values, use_dictionary=dictionary)
    assert 1 <= found <= 32


def test_values_that_begin_alike_count_as_the_longest() -> None:
    alike = [noise(4_000_000) + bytes([number]) for number in range(20)]
    found = rows({"a": alike}, use_dictionary=False, column_encoding={"a": "DELTA_BYTE_ARRAY"})
    assert 1 <= found <= 8


@pytest.mark.parametrize("dictionary", [True, False])
def test_pages_of_a_bomb_are_not_read(dictionary: bool) -> None:
    large = b"\0" * (MAX_PICTURE_BYTES + 1)
    assert rows({"image": [large] * 2}, use_dictionary=dictionary) == 0
    half = b"\0" * (MAX_PICTURE_BYTES // 2 + 1)
    assert rows({"a": [half], "b": [half]}, use_dictionary=dictionary) == 0


def test_large_pages_of_real_pictures_are_read() -> None:
    picture = noise(MAX_PICTURE_BYTES + 1)
    assert rows({"image": [picture]}, use_dictionary=False, compression="none") == 1
