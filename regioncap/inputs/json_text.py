"""JSON text as users give it, read so that all of it can be written again."""

from __future__ import annotations

import json
import math
from typing import Any


def loads(text: str) -> Any:
    """The value of a JSON text; a number beyond those of JSON, such as 1e999, as its text.

    Raises:
        ValueError: It is none.
        RecursionError: It is nested too deeply to be read.
    """
    return json.loads(text, parse_constant=str, parse_float=_finite_or_text)


def _finite_or_text(text: str) -> float | str:
    # 1e999 reads as infinity, which is no JSON any more when written again.
    value = float(text)
    return value if math.isfinite(value) else text


def why_no_json(error: ValueError) -> str:
    """What a JSON parser says of one line, without its line number: that is the parser's first."""
    if not isinstance(error, json.JSONDecodeError):  # a number of too many digits
        return str(error)
    if error.pos >= len(error.doc.rstrip()):
        return "the line ends too early (write each record on one line)"
    return f"{error.msg} at character {error.pos + 1}"


_TYPES = {
    dict: "object",
    list: "list",
    str: "string",
    bool: "boolean",
    int: "number",
    float: "number",
    type(None): "null",
}


def type_name(value: object) -> str:
    """What JSON calls the type of a value."""
    return _TYPES.get(type(value), type(value).__name__)


def with_article(value: object) -> str:
    """The same with an article: `an object`."""
    name = type_name(value)
    return f"an {name}" if name == "object" else f"a {name}"
