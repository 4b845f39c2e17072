"""JSON Lines: one record a line."""

from __future__ import annotations

from collections.abc import Callable, Iterator
from typing import BinaryIO

from regioncap.records import MAX_LINE_BYTES, InputRecord, parse_line


def read_lines(
    file: BinaryIO, parse: Callable[..., InputRecord] = parse_line
) -> Iterator[InputRecord]:
    """Records of a JSON Lines file, as a stream; blank lines are skipped.

    Args:
        file: The file.
        parse: Makes a record of a line, as `parse_line` does.
    """
    index = 0
    for number, raw in enumerate(bounded_lines(file), start=1):
        if raw.strip(b" \t\r\n\xef\xbb\xbf"):
            yield parse(raw.rstrip(b"\r\n"), line=number, index=index)
            index += 1


def bounded_lines(file: BinaryIO) -> Iterator[bytes]:
    """Lines, none held in memory beyond the limit: of a longer one comes what shows that it is."""
    while line := file.readline(MAX_LINE_BYTES + 2):
        rest = line
        while not rest.endswith(b"\n") and (rest := file.readline(MAX_LINE_BYTES)):
            pass
        yield line
