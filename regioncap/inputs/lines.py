"""JSON Lines: one record a line.

Reading a line never raises: a line that cannot be used becomes a record that says so.
"""

from __future__ import annotations

from collections.abc import Callable, Iterator
from typing import BinaryIO

from regioncap.inputs.fields import bad, from_fields
from regioncap.inputs.json_text import loads, type_name, why_no_json
from regioncap.records import InputRecord

#: Longest input line, in bytes; a box list of a million numbers fits.
MAX_LINE_BYTES = 10_000_000


def parse_line(
    raw: bytes, *, line: int, index: int, image_key: str = "image", bbox_key: str = "bbox"
) -> InputRecord:
    """Reads one input line.

    Args:
        raw: The line without its line end.
        line: Its number in the file, from 1.
        index: Its number among the records, from 0.
        image_key: Field that names the image.
        bbox_key: Field that holds the boxes.
    """
    record = InputRecord(index=index, line=line)
    if len(raw) > MAX_LINE_BYTES:
        return bad(record, "line-too-long", f"longer than {MAX_LINE_BYTES:,} bytes")
    try:
        fields = loads(raw.decode("utf-8-sig" if index == 0 else "utf-8"))
    except UnicodeDecodeError as error:
        return bad(record, "bad-encoding", f"not UTF-8 at byte {error.start} of the line")
    except RecursionError:
        return bad(record, "bad-json", "nested too deeply")
    except ValueError as error:
        return bad(record, "bad-json", f"not JSON: {why_no_json(error)}")
    if not isinstance(fields, dict):
        return bad(record, "not-an-object", f"a JSON {type_name(fields)}, not an object")
    return from_fields(record, fields, image_key=image_key, bbox_key=bbox_key)


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
