"""Schemas of regions: which fields an engine writes of each region beside its caption; pure.

A schema is a JSON Schema of one region: an object whose properties are the fields. It is held to
what the engines' grammars can enforce, so that nothing in it is wished for and not kept: types,
choices, lengths, lists and objects, as `_WORDS` lists them. One field is the caption: the one that
`x-caption` names, else `caption`, which is put in front where there is none.

Values that an engine without a grammar wrote are checked by `fault`.
"""

from __future__ import annotations

import json
import math
from collections.abc import Callable
from pathlib import Path
from typing import Any

from regioncap.errors import UsageError
from regioncap.views.chat_tokens import neutralize

#: A region's schema as it is kept with a job.
RegionSchema = dict[str, Any]

CAPTION = "caption"
#: Names the field that is the caption.
CAPTION_FIELD = "x-caption"
MAX_CAPTION_CHARS = 800
#: Of a text or a list whose schema does not say how long it may get: left free, an answer may never
#: end.
MAX_TEXT_CHARS = 200
MAX_ITEMS = 20
MAX_FIELDS = 50
MAX_DEPTH = 4
MAX_BYTES = 64_000

BUILT_IN: dict[str, RegionSchema] = {
    "referring": {
        "description": "A phrase that tells the region from all others, with type and colour.",
        CAPTION_FIELD: "phrase",
        "type": "object",
        "properties": {
            "phrase": {
                "type": "string",
                "description": "a short phrase that tells this region from all others",
                "maxLength": 120,
            },
            "type": {
                "type": "string",
                "description": "what it is, in one or two words",
                "maxLength": 40,
            },
            "colour": {
                "type": "string",
                "description": "its main colour, in one word",
                "maxLength": 24,
            },
        },
    }
}

_TYPES: dict[str, tuple[type, ...]] = {
    "string": (str,),
    "integer": (int,),
    "number": (int, float),
    "boolean": (bool,),
    "null": (type(None),),
    "array": (list,),
    "object": (dict,),
}
#: Integers fit 64 bits, and floating-point numbers are finite.
_BEYOND = {int: 2**63, float: math.inf}
#: What a schema of each type may say besides `type`, `description` and `title`.
_WORDS: dict[str, set[str]] = {
    "string": {"enum", "minLength", "maxLength"},
    "integer": {"minimum", "maximum", "enum"},
    "number": set(),
    "boolean": set(),
    "null": set(),
    "array": {"items", "minItems", "maxItems"},
    "object": {"properties", "required", "additionalProperties"},
}
_ANYWHERE = {"type", "description", "title"}
_AT_THE_TOP = {"$schema", "$id", CAPTION_FIELD}


def load_schema(name: str) -> RegionSchema:
    """The schema of a name, or of a file, ready to use.

    Raises:
        UsageError: There is none, or the engines' grammars could not hold it (`bad-schema`).
    """
    if name in BUILT_IN:
        return normalized(BUILT_IN[name], name)
    try:
        data = Path(name).read_bytes()
        if len(data) > MAX_BYTES:
            raise _bad(name, f"larger than {MAX_BYTES:,} bytes")
        schema = json.loads(data)
    except OSError as error:
        known = ", ".join(BUILT_IN)
        raise UsageError(
            f"there is no schema {name!r}, and no such file: {error.strerror}",
            code="bad-schema",
            hint=f"built in are: {known}; or name a file with a JSON Schema of a region's fields",
        ) from error
    except (ValueError, RecursionError) as error:
        raise _bad(name, f"not JSON: {error}") from error
    return normalized(schema, name)


def normalized(schema: Any, name: str) -> RegionSchema:
    """A schema with all that was left open made certain: which field is the caption, how long.

    Raises:
        UsageError: `bad-schema`, with the place in it.
    """
    if not isinstance(schema, dict) or schema.get("type") != "object":
        raise _bad(name, "the schema is of one region, so its type must be object")
    caption = schema.get(CAPTION_FIELD, CAPTION)
    fields = schema.get("properties")
    if not isinstance(fields, dict):
        raise _bad(name, "properties: give the region's fields")
    if not isinstance(caption, str) or caption not in fields:
        if CAPTION_FIELD in schema:
            raise _bad(name, f"{CAPTION_FIELD}: there is no field {caption!r}")
        own = {
            "type": "string",
            "description": "one or two sentences",
            "maxLength": MAX_CAPTION_CHARS,
        }
        required = schema.get("required")
        more = {"required": [CAPTION, *required]} if isinstance(required, list) else {}
        schema = schema | {"properties": {CAPTION: own, **fields}} | more
    whole = {key: value for key, value in schema.items() if key not in _AT_THE_TOP}
    made = _object(whole, "", name, depth=1)
    said = made["properties"][caption]
    if said["type"] != "string" or "enum" in said:
        raise _bad(name, f"properties.{caption}: the caption must be a text")
    if caption not in made["required"]:
        raise _bad(name, f"required: the caption, {caption}, cannot be left out")
    said["minLength"] = max(1, said.get("minLength", 1))
    return {**made, CAPTION_FIELD: caption}


def caption_of(schema: RegionSchema) -> str:
    """The field that is the caption."""
    return str(schema[CAPTION_FIELD])


def answer_part(schema: RegionSchema) -> dict[str, Any]:
    """The schema of one region as grammars take it."""
    return {key: value for key, value in schema.items() if key != CAPTION_FIELD}


def described(schema: RegionSchema) -> str:
    """The fields in words, for a prompt."""
    fields = (f'"{name}" ({_words(field)})' for name, field in schema["properties"].items())
    return neutralize(", ".join(fields))


def fault(value: Any, schema: RegionSchema, place: str = "") -> str | None:
    """What is wrong with a value, with the place; None if it is as the schema says."""
    kind = schema["type"]
    right = isinstance(value, _TYPES[kind]) and (kind == "boolean" or not isinstance(value, bool))
    where = f"{place}: " if place else ""
    # JSON has no NaN, and no reader of results numbers without end.
    if not right or (kind in {"integer", "number"} and not abs(value) < _BEYOND[type(value)]):
        return f"{where}{_short(value)} is no {kind}"
    if "enum" in schema and value not in schema["enum"]:
        return f"{where}{_short(value)} is none of the choices"
    check = _CHECKS.get(kind)
    return check(value, schema, place) if check else None


def _fault_of_text(value: str, schema: RegionSchema, place: str) -> str | None:
    if not schema.get("minLength", 0) <= len(value) <= schema.get("maxLength", len(value)):
        return f"{place}: {len(value)} characters"
    return None


def _fault_of_integer(value: int, schema: RegionSchema, place: str) -> str | None:
    if not schema.get("minimum", value) <= value <= schema.get("maximum", value):
        return f"{place}: {value} is out of range"
    return None


def _fault_of_list(value: list[Any], schema: RegionSchema, place: str) -> str | None:
    if not schema.get("minItems", 0) <= len(value) <= schema["maxItems"]:
        return f"{place}: {len(value)} items"
    faults = (fault(each, schema["items"], f"{place}[{i}]") for i, each in enumerate(value))
    return next((each for each in faults if each), None)


def _fault_of_object(value: dict[str, Any], schema: RegionSchema, place: str) -> str | None:
    fields = schema["properties"]
    if missing := [name for name in schema["required"] if name not in value]:
        return f"{_at(place, missing[0])} is missing"
    if others := [name for name in value if name not in fields]:
        return f"{_short(_at(place, others[0]))} is no field"
    faults = (fault(each, fields[name], _at(place, name)) for name, each in value.items())
    return next((each for each in faults if each), None)


_CHECKS: dict[str, Callable[[Any, RegionSchema, str], str | None]] = {
    "string": _fault_of_text,
    "integer": _fault_of_integer,
    "array": _fault_of_list,
    "object": _fault_of_object,
}


def _at(place: str, name: str) -> str:
    return f"{place}.{name}" if place else name


def _short(value: Any) -> str:
    text = value if isinstance(value, str) else json.dumps(value)
    return repr(text if len(text) <= 40 else text[:40] + "...")


def _words(field: dict[str, Any]) -> str:
    said = str(field.get("description", ""))
    kind = field["type"]
    if "enum" in field:
        form = "one of " + ", ".join(json.dumps(each, ensure_ascii=False) for each in field["enum"])
    elif kind == "array":
        form = f"a list, each {_words(field['items'])}"
    elif kind == "object":
        form = "an object: " + described(field)
    else:
        form = {"string": "text", "boolean": "true or false"}.get(kind, kind)
    return f"{form}: {said}" if said else form


def _part(schema: Any, place: str, name: str, depth: int) -> RegionSchema:
    """One field's schema, checked and with its limits."""
    if depth > MAX_DEPTH:
        raise _bad(name, f"{place}: nested deeper than {MAX_DEPTH}")
    if not isinstance(schema, dict):
        raise _bad(name, f"{place}: not a schema")
    kind = schema.get("type", "string" if "enum" in schema else None)
    if not isinstance(kind, str) or kind not in _WORDS:
        known = ", ".join(_WORDS)
        raise _bad(name, f"{place}: type {kind!r} (give one of {known})")
    if unknown := sorted(set(schema) - _WORDS[kind] - _ANYWHERE):
        raise _bad(
            name, f"{place}: {unknown[0]} of a {kind} cannot be held by the engines' grammars"
        )
    schema = {**schema, "type": kind}
    if "enum" in schema:
        _check_choices(schema, place, name)
    for limit in ("minLength", "maxLength", "minItems", "maxItems", "minimum", "maximum"):
        if limit in schema and not _is_limit(schema[limit], limit):
            raise _bad(name, f"{place}.{limit}: {schema[limit]!r}")
    if kind == "string" and "enum" not in schema:
        return {"maxLength": max(MAX_TEXT_CHARS, schema.get("minLength", 0)), **schema}
    if kind == "array":
        items = _part(schema.get("items"), f"{place}.items", name, depth + 1)
        return {"maxItems": max(MAX_ITEMS, schema.get("minItems", 0)), **schema, "items": items}
    return _object(schema, place, name, depth) if kind == "object" else schema


def _object(schema: RegionSchema, place: str, name: str, depth: int) -> RegionSchema:
    at = f"{place}." if place else ""
    if unknown := sorted(set(schema) - _WORDS["object"] - _ANYWHERE):
        raise _bad(name, f"{at}{unknown[0]}: the engines' grammars cannot hold it")
    if schema.get("additionalProperties", False) is not False:
        raise _bad(name, f"{at}additionalProperties: must be false, or left out")
    fields = schema.get("properties")
    if not isinstance(fields, dict) or not 0 < len(fields) <= MAX_FIELDS:
        raise _bad(name, f"{at}properties: give one to {MAX_FIELDS} fields")
    for field in fields:
        if not (0 < len(field) <= 64 and field.isprintable()):
            raise _bad(name, f"{at}properties: {field!r} is no name for a field")
    required = schema.get("required", list(fields))
    if not isinstance(required, list) or not set(map(str, required)) <= set(fields):
        raise _bad(name, f"{at}required: {required!r} names what is no field")
    parts = {
        field: _part(part, f"{at}properties.{field}", name, depth + 1)
        for field, part in fields.items()
    }
    return {
        **schema,
        "properties": parts,
        "required": [field for field in fields if field in required],
        "additionalProperties": False,
    }


def _check_choices(schema: RegionSchema, place: str, name: str) -> None:
    choices, kinds = schema["enum"], _TYPES[schema["type"]]
    if not isinstance(choices, list) or not 0 < len(choices) <= 1000:
        raise _bad(name, f"{place}.enum: give one to 1000 choices")
    for each in choices:
        if not isinstance(each, kinds) or isinstance(each, bool):
            raise _bad(name, f"{place}.enum: {each!r} is no {schema['type']}")
        if isinstance(each, str) and each.encode("utf-8", "replace").decode() != each:
            raise _bad(name, f"{place}.enum: {each!r} cannot be written in UTF-8")


def _is_limit(value: Any, limit: str) -> bool:
    least = -(10**9) if limit.endswith("imum") else 0
    return isinstance(value, int) and not isinstance(value, bool) and least <= value <= 10**9


def _bad(name: str, problem: str) -> UsageError:
    return UsageError(
        f"{name}: {problem}",
        code="bad-schema",
        hint="docs/quality.md says what a schema may hold",
    )
