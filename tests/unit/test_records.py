"""An input line becomes a record that keeps all that was given, or says what is wrong with it."""

from __future__ import annotations

import json
from typing import Any

import pytest
from hypothesis import given
from hypothesis import strategies as st

from regioncap.inputs.lines import MAX_LINE_BYTES, parse_line
from regioncap.records import dump_lines


def parse(raw: bytes, index: int = 3) -> Any:
    return parse_line(raw, line=8, index=index)


def test_parse_line__keeps_what_the_user_gave() -> None:
    record = parse(b'{"image": "a.jpg", "bbox": [[1, 2, 3, 4]], "id": "x", "city": {"a": [1]}}')

    assert (record.index, record.line, record.id, record.image) == (3, 8, "x", "a.jpg")
    assert record.bbox == [[1, 2, 3, 4]]
    assert record.meta == {"city": {"a": [1]}}
    assert record.error is None


@pytest.mark.parametrize(
    ("line", "boxes"),
    [
        (b'{"image": "a.jpg"}', None),
        (b'{"image": "a.jpg", "bbox": null}', None),
        (b'{"image": "a.jpg", "bbox": []}', []),
        (b'{"image": "a.jpg", "bbox": [1, 2, 3, 4]}', [[1, 2, 3, 4]]),
        (b'{"image": "a.jpg", "bbox": "[[1, 2, 3, 4]]"}', [[1, 2, 3, 4]]),
        (b'{"image": ["a.jpg"], "bbox": ""}', None),
    ],
)
def test_parse_line__boxes_as_people_give_them(line: bytes, boxes: list[object] | None) -> None:
    record = parse(line)

    assert (record.error, record.image, record.bbox) == (None, "a.jpg", boxes)


@pytest.mark.parametrize(
    ("raw", "code", "words"),
    [
        (b"{", "bad-json", "not JSON: the line ends too early (write each record on one line)"),
        (b"{'image': 'a'}", "bad-json", "double quotes at character 2"),
        (b"image,bbox", "bad-json", "not JSON: Expecting value at character 1"),
        (b"1" * 5000, "bad-json", "not JSON: Exceeds the limit"),
        (b"[" * 100_000, "bad-json", "nested too deeply"),
        (b"[1]", "not-an-object", "list"),
        (b"true", "not-an-object", "boolean"),
        (b"{}", "no-image", "no field image"),
        (b'{"image": 5}', "no-image", "image is a number"),
        (b'{"image": ""}', "no-image", "image is empty"),
        (b'{"file_name": "a"}', "no-image", "no field image (rename file_name to image)"),
        (b'{"image": "a", "bbox": "all"}', "bad-bbox", "bbox is a string"),
        (b'{"image": "\xff"}', "bad-encoding", "byte 11"),
        (b'{"image": "a"' + b" " * MAX_LINE_BYTES + b"}", "line-too-long", "10,000,000"),
        (
            b'{"image": "a", "bbox": [' + b"[1,1,1,1]," * 1000 + b"[1,1,1,1]]}",
            "too-many-boxes",
            "1,001",
        ),
    ],
)
def test_parse_line__says_what_is_wrong(raw: bytes, code: str, words: str) -> None:
    error = parse(raw).error

    assert error.code == code
    assert words in error.message
    assert error.stage == "submit"


def test_parse_line__byte_order_mark_only_at_the_start() -> None:
    assert parse(b'\xef\xbb\xbf{"image": "a"}', index=0).error is None
    assert parse(b'\xef\xbb\xbf{"image": "a"}', index=1).error.code == "bad-json"


@pytest.mark.parametrize("number", ["NaN", "Infinity", "-Infinity", "1e999"])
def test_parse_line__what_json_cannot_hold_stays_readable(number: str) -> None:
    record = parse(f'{{"image": "a", "bbox": [[{number}, 0, 1, 1]], "x": {number}}}'.encode())

    again = json.loads(dump_lines([record]), parse_constant=pytest.fail)

    assert again["bbox"] == [[number, 0, 1, 1]]
    assert again["meta"] == {"x": number}


@pytest.mark.parametrize("given_id", [True, 1.5, [1], {"a": 1}])
def test_parse_line__an_id_of_another_type_is_kept_as_meta(given_id: object) -> None:
    record = parse(json.dumps({"image": "a", "id": given_id}).encode())

    assert record.id is None
    assert record.meta == {"id": given_id}


def test_dump_lines__lone_surrogates_do_not_break_the_file() -> None:
    line = dump_lines([parse(b'{"image": "a", "x": "\\ud800", "y": {"a\\udc00": {"\\ud800": 1}}}')])

    assert json.loads(line.decode("utf-8"))["meta"] == {"x": "?", "y": {"a?": {"?": 1}}}


JSON = st.recursive(
    # What JSON cannot hold, and Python writes all the same, becomes text: tested above.
    st.none()
    | st.booleans()
    | st.integers()
    | st.floats(allow_nan=False, allow_infinity=False)
    | st.text(),
    lambda inner: st.lists(inner, max_size=4) | st.dictionaries(st.text(), inner, max_size=4),
    max_leaves=20,
)


OBJECTS = st.dictionaries(st.sampled_from(["image", "bbox", "id", "x"]), JSON)


@st.composite
def hurt_lines(draw: st.DrawFn) -> bytes:
    """Lines as they come from a broken disk or a broken program: objects with bytes changed."""
    line = bytearray(
        json.dumps(draw(OBJECTS), ensure_ascii=draw(st.booleans())), "utf-8", "replace"
    )
    for _ in range(draw(st.integers(0, 3))):
        at = draw(st.integers(0, len(line)))
        line[at : at + draw(st.integers(0, 2))] = draw(st.binary(max_size=2))
    return bytes(line)


@given(hurt_lines() | st.binary(max_size=200))
def test_parse_line__any_line_is_a_record_or_says_why_not(raw: bytes) -> None:
    record = parse(raw)

    again = json.loads(dump_lines([record]))

    assert (again["line"], again["index"]) == (8, 3)
    if record.error is None:
        assert isinstance(record.image, str)
        assert record.image
        assert record.bbox is None or isinstance(record.bbox, list)
    else:
        assert record.error.stage == "submit"
        assert record.error.message


@given(OBJECTS)
def test_parse_line__any_object_is_read_and_written_again(fields: dict[str, Any]) -> None:
    record = parse(json.dumps(fields).encode())

    again = json.loads(dump_lines([record]))

    assert again["index"] == 3
    image = fields.get("image")
    one = image[0] if isinstance(image, list) and len(image) == 1 else image
    assert record.error is not None or record.image == one
