"""Schemas of regions: what they may hold, and which values are as they say."""

from __future__ import annotations

import json
from pathlib import Path
from typing import Any

import pytest

from regioncap.errors import UsageError
from regioncap.views.region_schema import (
    BUILT_IN,
    MAX_TEXT_CHARS,
    answer_part,
    caption_of,
    described,
    fault,
    load_schema,
    normalized,
)

FIELDS: dict[str, Any] = {
    "type": {"enum": ["person", "vehicle", "other"]},
    "colour": {"type": "string", "maxLength": 10},
    "count": {"type": "integer", "minimum": 1, "maximum": 9},
    "materials": {"type": "array", "items": {"type": "string"}, "maxItems": 3},
    "text": {
        "type": "object",
        "properties": {"says": {"type": "string"}, "clear": {"type": "boolean"}},
        "required": ["says"],
    },
}
VALUE: dict[str, Any] = {
    "caption": "A red bus.",
    "type": "vehicle",
    "colour": "red",
    "count": 1,
    "materials": ["steel", "glass"],
    "text": {"says": "38"},
}


def schema(**more: Any) -> dict[str, Any]:
    return normalized({"type": "object", "properties": FIELDS, **more}, "mine.json")


def test_a_caption_stands_in_front_and_everything_has_an_end() -> None:
    made = schema()
    assert list(made["properties"]) == ["caption", *FIELDS]
    assert made["required"] == ["caption", *FIELDS]
    assert caption_of(made) == "caption"
    assert made["properties"]["materials"]["items"]["maxLength"] == MAX_TEXT_CHARS
    assert made["properties"]["text"]["additionalProperties"] is False
    assert "x-caption" not in answer_part(made)
    assert normalized(made, "again") == made


def test_own_caption_field() -> None:
    fields = {"phrase": {"type": "string"}}
    made = normalized({"type": "object", "properties": fields, "x-caption": "phrase"}, "")
    assert list(made["properties"]) == ["phrase"]
    assert made["properties"]["phrase"]["minLength"] == 1


def test_fields_that_may_be_left_out() -> None:
    made = schema(required=["type"])
    assert made["required"] == ["caption", "type"]
    assert fault({"caption": "A bus.", "type": "vehicle"}, made) is None


@pytest.mark.parametrize("name", BUILT_IN)
def test_built_in(name: str) -> None:
    made = load_schema(name)
    assert caption_of(made) in made["properties"]
    assert described(made).startswith(f'"{caption_of(made)}" (text: ')


def test_a_file(tmp_path: Path) -> None:
    file = tmp_path / "mine.json"
    file.write_text(json.dumps({"type": "object", "properties": FIELDS}))
    assert load_schema(str(file)) == schema()
    words = described(load_schema(str(file)))
    assert '"type" (one of "person", "vehicle", "other")' in words
    assert '"materials" (a list, each text)' in words


@pytest.mark.parametrize(
    ("field", "place"),
    [
        ({"type": "string", "pattern": "a+"}, "properties.f: pattern of a string"),
        ({"type": "string", "format": "date"}, "properties.f: format of a string"),
        ({"type": "number", "minimum": 0}, "properties.f: minimum of a number"),
        ({"type": "integer", "multipleOf": 2}, "properties.f: multipleOf of a integer"),
        ({"type": "array", "items": {"type": "string"}, "uniqueItems": True}, "uniqueItems"),
        ({"type": "array"}, "properties.f.items: not a schema"),
        ({"type": "array", "items": {"$ref": "#"}}, "properties.f.items: type None"),
        ({"anyOf": [{"type": "string"}]}, "properties.f: type None"),
        ({"type": ["string", "null"]}, "properties.f: type"),
        ({"type": "object", "properties": {}}, "properties.f.properties: give one to"),
        ({"type": "object", "properties": {"": {"type": "null"}}}, "is no name for a field"),
        ({"type": "string", "enum": [1]}, "properties.f.enum: 1 is no string"),
        ({"enum": []}, "properties.f.enum: give one to"),
        ({"enum": ["a\udc00"]}, "properties.f.enum: 'a\\udc00' cannot be written in UTF-8"),
        ({"type": "string", "maxLength": -1}, "properties.f.maxLength: -1"),
        ({"type": "string", "maxLength": True}, "properties.f.maxLength: True"),
        (7, "properties.f: not a schema"),
    ],
)
def test_what_grammars_cannot_hold_is_refused_with_its_place(field: Any, place: str) -> None:
    with pytest.raises(UsageError, match="mine") as caught:
        normalized({"type": "object", "properties": {"f": field}}, "mine.json")
    assert place in caught.value.message
    assert caught.value.code == "bad-schema"


@pytest.mark.parametrize(
    "whole",
    [
        [],
        {},
        {"type": "array"},
        {"type": "object"},
        {"type": "object", "properties": FIELDS, "additionalProperties": True},
        {"type": "object", "properties": FIELDS, "required": ["none"]},
        {"type": "object", "properties": FIELDS, "required": 3},
        {"type": "object", "properties": FIELDS, "x-caption": "none"},
        {"type": "object", "properties": FIELDS, "x-caption": ["caption"]},
        {"type": "object", "properties": FIELDS, "x-caption": None},
        {"type": "object", "properties": FIELDS, "x-caption": "count"},
        {"type": "object", "properties": FIELDS, "x-caption": "type"},
        {"type": "object", "properties": FIELDS, "oneOf": []},
    ],
)
def test_what_is_no_schema_of_a_region_is_refused(whole: Any) -> None:
    with pytest.raises(UsageError) as caught:
        normalized(whole, "mine.json")
    assert caught.value.code == "bad-schema"


@pytest.mark.parametrize("text", [b"{", b"\xff", b"[" * 100_000, b" " * 64_001])
def test_what_is_no_json_is_refused(tmp_path: Path, text: bytes) -> None:
    file = tmp_path / "mine.json"
    file.write_bytes(text)
    with pytest.raises(UsageError) as caught:
        load_schema(str(file))
    assert caught.value.code == "bad-schema"


def test_no_such_schema() -> None:
    with pytest.raises(UsageError, match="there is no schema 'refering'") as caught:
        load_schema("refering")
    assert "referring" in caught.value.hint


@pytest.mark.parametrize(
    ("change", "reason"),
    [
        ({}, None),
        ({"type": "lamp"}, "type: 'lamp' is none of the choices"),
        ({"colour": "reddish brown"}, "colour: 13 characters"),
        ({"colour": None}, "colour: 'null' is no string"),
        ({"count": 10}, "count: 10 is out of range"),
        ({"count": True}, "count: 'true' is no integer"),
        ({"count": 1.0}, "count: '1.0' is no integer"),
        ({"materials": ["a", 2]}, "materials[1]: '2' is no string"),
        ({"materials": ["a"] * 4}, "materials: 4 items"),
        ({"text": {"clear": True}}, "text.says is missing"),
        ({"text": {"says": "", "loud": 1}}, "'text.loud' is no field"),
        ({"caption": ""}, "caption: 0 characters"),
    ],
)
def test_values_are_checked(change: dict[str, Any], reason: str | None) -> None:
    assert fault(VALUE | change, schema()) == reason
