"""Captions out of answers in JSON: whole, wrapped in text, broken or cut off."""

from __future__ import annotations

import json
import re
from collections.abc import Iterator
from dataclasses import dataclass, field
from typing import Any

from regioncap.captions.texts import fold

_KEY = r"<?\s?([^\W\d]{2,12}[\s_\-#]{0,3})?(\d{1,4})\s?>?"
_NUMBER_KEY = re.compile(_KEY)
#: `"region1": "..."`, in either quotes or with none around the key. Once a text has begun, the
#: pattern fits, whole or running to the end of the answer. A text in single quotes may hold them.
_PAIR = re.compile(
    rf"""["'{{,]\s?{_KEY}["']?\s?:\s?"""
    r"""(?:"((?:[^"\\]|\\.)*)|'((?:[^'\\]|\\.|'(?!\s?[,}]))*))(["']?)""",
    re.DOTALL,
)
_WORD = re.compile(r"[^\W\d]")
_START = re.compile(r"[{\[]")
_ID_KEYS = ("region", "region_id", "id", "number", "index", "tag", "区域", "编号", "name")
_TEXT_KEYS = ("caption", "description", "text", "content", "描述", "内容", "label")
#: Failed attempts at decoding: far above any answer, far below any harm.
_MAX_FAILURES = 40


@dataclass(slots=True)
class Found:
    """What an answer says of regions."""

    #: Text by region; empty for null and "".
    texts: dict[int, str] = field(default_factory=dict)
    #: Regions whose text breaks off.
    cut: set[int] = field(default_factory=set)
    #: Regions that a number alone names.
    bare: set[int] = field(default_factory=set)
    #: Captions in JSON that name no region.
    unnamed: list[str] = field(default_factory=list)


def json_captions(text: str) -> Found:
    """Finds captions in JSON anywhere in a text; of two for a region, the first counts.

    Reads `{"region1": "..."}`, `{"1": {"caption": "..."}}`, `[{"region": 1, "caption": "..."}]` and
    these wrapped in other objects, with or without other text around. From JSON that is broken or
    cut off come the complete pairs.
    """
    found = Found()
    # The text is squeezed; so there is one character between two words, and line feeds stay.
    pairs = _PAIR.findall(text.replace("\n ", "\n"))
    for word, key, json_text, python_text, end in pairs:
        if not word:
            found.bare.add(int(key))
        if end:
            found.texts.setdefault(int(key), _unescaped(json_text or python_text))
        elif int(key) not in found.texts:
            found.cut.add(int(key))
    for value in json_values(text):
        _take(value, found)
    return found


def json_values(text: str) -> Iterator[Any]:
    """The JSON objects and lists anywhere in a text, outermost ones."""
    decoder = json.JSONDecoder(strict=False)
    position = failures = 0
    while failures < _MAX_FAILURES and (start := _START.search(text, position)):
        try:
            value, position = decoder.raw_decode(text, start.start())
        except (ValueError, RecursionError):
            position = start.end()
            failures += 1
        else:
            yield value


def _unescaped(text: str) -> str:
    try:
        return str(json.loads(f'"{text}"', strict=False))
    except ValueError:
        return re.sub(r"\\(['\"])", r"\1", text).replace("\\n", " ")


def _take(value: object, found: Found) -> None:
    waiting = [value]
    while waiting:
        value = waiting.pop()
        if isinstance(value, str):
            found.unnamed.append(value)
        elif isinstance(value, list):
            waiting += reversed(value)
        elif isinstance(value, dict):
            waiting += reversed(_take_named(value, found))


def _take_named(value: dict[str, Any], found: Found) -> list[Any]:
    """Takes the captions of regions that an object names; returns what else may hold captions."""
    number = next((n for k in _ID_KEYS if (n := _named(value.get(k), found)) is not None), None)
    if number is not None:
        found.texts.setdefault(number, _text({k: v for k, v in value.items() if k not in _ID_KEYS}))
        return []
    others = []
    for name, item in value.items():
        if (number := _named(name, found)) is not None:
            found.texts.setdefault(number, _text(item))
        elif isinstance(item, dict | list) or name.lower() in _TEXT_KEYS:
            others.append(item)
    return others


def _named(value: object, found: Found) -> int | None:
    """As `region_number`; takes note of one that a number alone names."""
    number = region_number(value)
    if number is not None and not (isinstance(value, str) and _WORD.search(value)):
        found.bare.add(number)
    return number


def region_number(value: object) -> int | None:
    """The region that a key or an id names: "region1", "<region 1>", "1", 1."""
    if isinstance(value, str):
        match = _NUMBER_KEY.fullmatch(fold(value))
        return int(match[2]) if match else None
    return value if isinstance(value, int) and not isinstance(value, bool) else None


def _text(value: object) -> str:
    """The caption in what stands for a region: a text, a list of texts, an object with one."""
    if isinstance(value, str):
        return value
    if isinstance(value, list):
        return " ".join(item for item in value if isinstance(item, str))
    if isinstance(value, dict):
        named = [value[key] for key in _TEXT_KEYS if isinstance(value.get(key), str)]
        others = [f"{k}: {v}" for k, v in value.items() if isinstance(v, str)]
        return named[0] if named else "; ".join(others)
    return ""
