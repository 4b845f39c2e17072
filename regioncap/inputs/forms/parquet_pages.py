"""How large what a Parquet file holds becomes in memory, told by its headers before it is read.

A page is made whole, and a value of a dictionary as often as rows name it: a file of some kilobytes
may hold thousands of rows of megabytes. Headers are Thrift's compact protocol.
Format: https://parquet.apache.org/docs/file-format/
"""

from __future__ import annotations

from collections.abc import Iterator
from dataclasses import dataclass
from typing import Any, BinaryIO

from regioncap.inputs.fields import MAX_PICTURE_BYTES

#: Most bytes of the rows that are read together.
_BATCH_BYTES = MAX_PICTURE_BYTES // 2
_MOST_ROWS = 1024
#: Pages that were packed by more than this may be larger than what rows of such a file take.
_MOST_PACKED = 20
#: A row may be so many times larger than the mean.
_SKEW = 8
_HEADER_BYTES = 1 << 16
#: Thrift's types in a header.
_BYTE, _DOUBLE, _BINARY, _LIST, _SET, _STRUCT = 3, 7, 8, 9, 10, 12
_NUMBERS, _BOOLEANS = {4, 5, 6}, {1, 2}


@dataclass(frozen=True, slots=True)
class _Page:
    """What the header of a page says."""

    size_bytes: int
    packed_bytes: int
    header_bytes: int


def rows_at_a_time(file: BinaryIO, group: Any) -> int:
    """How many rows of a row group are read together; 0 if its pages are too large to be read.

    Args:
        file: The Parquet file.
        group: pyarrow's metadata of the row group.
    """
    row_bytes = packed_bytes = 0
    for number in range(group.num_columns):
        column = group.column(number)
        size, packed = column.total_uncompressed_size, max(1, column.total_compressed_size)
        is_packed = size > _MOST_PACKED * packed and size > _BATCH_BYTES // _MOST_ROWS
        largest = max((page.size_bytes for page in _pages(file, column)), default=0)
        packed_bytes += largest if is_packed else 0
        if is_packed or "DELTA_BYTE_ARRAY" in column.encodings:
            row_bytes += largest
        else:
            row_bytes += _SKEW * size // max(1, group.num_rows) + _dictionary_bytes(file, column)
    if packed_bytes > MAX_PICTURE_BYTES:
        return 0
    return max(1, min(_MOST_ROWS, _BATCH_BYTES // max(1, row_bytes)))


def _dictionary_bytes(file: BinaryIO, column: Any) -> int:
    page = next(_pages(file, column), None) if column.has_dictionary_page else None
    return page.size_bytes if page else 0


def _pages(file: BinaryIO, column: Any) -> Iterator[_Page]:
    """The pages of a column; those whose headers cannot be read are not told, nor read later."""
    at = column.data_page_offset
    if column.has_dictionary_page and 0 < column.dictionary_page_offset < at:
        at = column.dictionary_page_offset
    end = at + column.total_compressed_size
    while at < end:
        file.seek(at)
        try:
            page = _page(_Header(file.read(_HEADER_BYTES)))
        except (IndexError, ValueError):
            return
        yield page
        at += page.header_bytes + page.packed_bytes


class _Header:
    """The bytes of a header, read from their beginning."""

    def __init__(self, data: bytes) -> None:
        self._data = data
        self.at = 0

    def byte(self) -> int:
        self.at += 1
        return self._data[self.at - 1]

    def varint(self) -> int:
        value = shift = 0
        while True:
            byte = self.byte()
            value |= (byte & 0x7F) << shift
            shift += 7
            if byte < 0x80:
                return value

    def number(self) -> int:
        zigzag = self.varint()
        return (zigzag >> 1) ^ -(zigzag & 1)

    def fields(self) -> Iterator[tuple[int, int]]:
        """Number and type of each field of a struct; its value is to be read or skipped."""
        number = 0
        while (head := self.byte()) != 0:
            number = number + (head >> 4) if head >> 4 else self.number()
            yield number, head & 0x0F

    def skip(self, kind: int) -> None:
        if kind in _NUMBERS:
            self.varint()
        elif kind in {_LIST, _SET}:
            head = self.byte()
            count = head >> 4 if head >> 4 < 15 else self.varint()
            for _ in range(count):
                self.skip(head & 0x0F)
        elif kind == _STRUCT:
            for _, inner in self.fields():
                self.skip(inner)
        elif kind == _BINARY:
            self.at += self.varint()
        elif kind in {_BYTE, _DOUBLE}:
            self.at += 1 if kind == _BYTE else 8
        elif kind not in _BOOLEANS:
            raise ValueError(f"no type {kind}")


def _page(header: _Header) -> _Page:
    sizes = {2: 0, 3: 0}
    for number, kind in header.fields():
        if number in sizes and kind in _NUMBERS:
            sizes[number] = header.number()
        else:
            header.skip(kind)
    if min(sizes.values()) < 0 or not any(sizes.values()):
        raise ValueError("no page")
    return _Page(sizes[2], sizes[3], header.at)
