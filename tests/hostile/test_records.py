"""Lines made to break things: each comes out as one record, with what is wrong with it."""

from __future__ import annotations

import io
import json
import math
from typing import Any

import pytest
from hypothesis import example, given
from hypothesis import strategies as st

from regioncap.inputs.lines import MAX_LINE_BYTES, parse_line, read_lines
from regioncap.records import InputRecord, dump_lines, load_lines
from regioncap.settings import BoxFormat
from regioncap.views import regions

IMAGE = b'{"image": "a.png"}'

LINES: dict[str, tuple[bytes, str | None]] = {
    "fine": (IMAGE, None),
    "nan": (b'{"image": "a.png", "bbox": [[NaN, 0, 1, 1]]}', None),
    "infinity": (b'{"image": "a.png", "bbox": [[0, 0, 1e999, -Infinity]]}', None),
    "strings as numbers": (b'{"image": "a.png", "bbox": [["1", "2", "3", "4"]]}', None),
    "three numbers": (b'{"image": "a.png", "bbox": [[1, 2, 3]]}', None),
    "ten thousand boxes": (
        b'{"image": "a.png", "bbox": [' + b",".join([b"[1,2,3,4]"] * 10_000) + b"]}",
        "too-many-boxes",
    ),
    "one box without its list": (b'{"image": "a.png", "bbox": [1, 2, 3, 4]}', None),
    "box as object": (b'{"image": "a.png", "bbox": {"x": 1}}', "bad-bbox"),
    "huge integer": (b'{"image": "a.png", "bbox": [[1' + b"0" * 400 + b", 0, 1, 1]]}", None),
    "integer beyond Python's limit": (
        b'{"image": "a.png", "bbox": [[1' + b"0" * 5000 + b", 0, 1, 1]]}",
        "bad-json",
    ),
    "invalid utf-8": (b'{"image": "\xff\xfe.png"}', "bad-encoding"),
    "lone surrogate": (b'{"image": "\\ud800.png"}', None),
    "nul in the name": (b'{"image": "a\\u0000.png"}', None),
    "nul in the line": (b'{"image": "a\x00.png"}', "bad-json"),
    "carriage return": (IMAGE + b"\r", None),
    "deeply nested": (b'{"image": "a.png", "x": ' + b"[" * 100_000, "bad-json"),
    "cut off": (b'{"image": "a.p', "bad-json"),
    "two objects": (IMAGE + IMAGE, "bad-json"),
    "list": (b'["a.png"]', "not-an-object"),
    "number": (b"42", "not-an-object"),
    "null": (b"null", "not-an-object"),
    "no image": (b"{}", "no-image"),
    "image is a list": (b'{"image": ["a.png", "b.png"]}', "no-image"),
    "image is empty": (b'{"image": ""}', "no-image"),
    "id is a path": (b'{"image": "a.png", "id": "../../etc/passwd"}', None),
    "id is an object": (b'{"image": "a.png", "id": {"$ne": null}}', None),
    "fields of ours": (b'{"image": "a.png", "source": "s3://x/y", "error": 1, "index": 99}', None),
    "chat tokens": (b'{"image": "a.png", "id": "<|im_start|>system"}', None),
    "template syntax": (b'{"image": "a.png", "x": "{{ 7 * 7 }}{% raw %}{0.__class__}"}', None),
}


@pytest.mark.parametrize("name", LINES)
def test_line(name: str) -> None:
    raw, code = LINES[name]
    record = parse_line(raw.rstrip(b"\r\n"), line=7, index=3)
    assert (record.index, record.line) == (3, 7)
    assert (record.error.code if record.error else None) == code
    assert load_lines(InputRecord, dump_lines([record]))[0].index == 3


def test_a_user_s_field_never_becomes_one_of_ours() -> None:
    record = parse_line(LINES["fields of ours"][0], line=1, index=0)
    assert (record.source, record.error, record.index) == (None, None, 0)
    assert record.meta == {"source": "s3://x/y", "error": 1, "index": 99}


FILES: dict[str, tuple[bytes, list[tuple[int, str | None]]]] = {
    "byte order mark": (b"\xef\xbb\xbf" + IMAGE + b"\n", [(1, None)]),
    "mark and blank line": (b"\xef\xbb\xbf\n" + IMAGE, [(2, None)]),
    "windows line ends": (IMAGE + b"\r\n\r\n" + IMAGE + b"\r\n", [(1, None), (3, None)]),
    "no last line end": (IMAGE + b"\n" + IMAGE, [(1, None), (2, None)]),
    "blank lines": (b"\n \n\t\n" + IMAGE + b"\n\n", [(4, None)]),
    "bad among good": (
        IMAGE + b"\n\xff\n" + IMAGE, [(1, None), (2, "bad-encoding"), (3, None)],
    ),
    "utf-16": ('{"image": "a.png"}\n'.encode("utf-16"), [(1, "bad-encoding"), (2, "bad-json")]),
    "empty": (b"", []),
}  # fmt: skip


@pytest.mark.parametrize("name", FILES)
def test_file(name: str) -> None:
    data, expected = FILES[name]
    found = list(read_lines(io.BytesIO(data)))
    assert [(r.line, r.error.code if r.error else None) for r in found] == expected
    assert [record.index for record in found] == list(range(len(found)))


class _Endless(io.RawIOBase):
    """A line of 50 MB between two good ones, that is nowhere whole."""

    def __init__(self) -> None:
        self._parts = iter([IMAGE + b"\n", *[b"x" * 1_000_000] * 50, b"\n" + IMAGE + b"\n"])
        self.longest = 0

    def readable(self) -> bool:
        return True

    def readinto(self, buffer: Any) -> int:
        part = next(self._parts, b"")
        buffer[: len(part)] = part
        return len(part)


def test_line_of_50_megabytes() -> None:
    with io.BufferedReader(_Endless(), buffer_size=1_000_001) as file:
        first, long, last = read_lines(file)
    assert long.error is not None
    assert long.error.code == "line-too-long"
    assert (first.error, last.error, last.line) == (None, None, 3)


def test_longest_line_that_is_allowed() -> None:
    filler = MAX_LINE_BYTES - len(b'{"image": "a.png", "x": ""}')
    line = b'{"image": "a.png", "x": "' + b"y" * filler + b'"}'
    (record,) = read_lines(io.BytesIO(line + b"\r\n"))
    assert record.error is None


anything = st.recursive(
    st.none() | st.booleans() | st.integers() | st.floats() | st.text(),
    lambda children: st.lists(children) | st.dictionaries(st.text(), children),
    max_leaves=12,
)


@given(st.binary(max_size=200))
def test_any_bytes_make_records(data: bytes) -> None:
    for record in read_lines(io.BytesIO(data)):
        assert load_lines(InputRecord, dump_lines([record])) == [record]


@given(st.dictionaries(st.sampled_from(["image", "bbox", "id", "x"]) | st.text(), anything))
@example({"image": ["0"]})
def test_any_object_makes_one_record(fields: dict[str, Any]) -> None:
    record = parse_line(json.dumps(fields).encode(), line=1, index=0)
    assert b"\n" not in dump_lines([record])[:-1]
    assert load_lines(InputRecord, dump_lines([record]))[0].index == 0
    if record.error is None:
        assert record.image
        # Data sets of conversations have a list of one.
        (image,) = fields["image"] if isinstance(fields["image"], list) else [fields["image"]]
        assert isinstance(image, str) or not math.isfinite(image)


sizes = st.tuples(st.integers(1, 30_000), st.integers(1, 30_000))
formats: st.SearchStrategy[BoxFormat] = st.sampled_from(
    ["xywh", "xyxy", "xywh-normalized", "xyxy-normalized"]
)
number_like = st.integers() | st.floats() | st.floats(-10, 100)


@given(st.lists(st.lists(number_like, max_size=6) | anything, max_size=8), formats, sizes)
def test_any_boxes_make_regions_inside_the_picture(
    boxes: list[Any], box_format: BoxFormat, size_wh: tuple[int, int]
) -> None:
    found = regions.resolve(boxes, box_format, size_wh)
    assert [region.region for region in found] == list(range(1, len(boxes) + 1))
    for region in found:
        if region.bbox is None:
            assert region.status == "invalid"
            assert region.why
            continue
        x, y, w, h = region.bbox
        assert all(math.isfinite(value) for value in region.bbox)
        assert 0 <= x <= size_wh[0]
        assert 0 <= y <= size_wh[1]
        assert 0 <= w <= size_wh[0] - x + 0.02  # two decimals each
        assert 0 <= h <= size_wh[1] - y + 0.02
    rows = regions.normalized_rows(found, size_wh, 10)
    assert all(0 <= value <= 1 for row in rows for value in row)
