"""Captions out of answers in JSON: whole, wrapped in text, broken or cut off."""

from __future__ import annotations

import json
import re
from collections.abc import Iterator
from dataclasses import dataclass, field
from typing import Any

from regioncap.captions.texts import fold, squeeze

_KEY = r"<?\s?(?:[^\W\d]{2,12}[\s_\-#]{0,3})?(\d{1,4})\s?>?"
_NUMBER_KEY = re.compile(_KEY)
#: `"region1": "..."`, whole or running to the end of the text.
_PAIR = re.compile(rf'["\']{_KEY}["\']\s?:\s?"((?:[^"\\]|\\.)*)("|\\?$)', re.DOTALL)
_BARE_PAIR = re.compile(rf'[{{,]\s?{_KEY}\s?:\s?"((?:[^"\\]|\\.)*)"', re.DOTALL)
#: `'region1': '...'` in two steps, as the words may hold the sign that ends them.
_PYTHON_HEAD = re.compile(rf"'{_KEY}'\s?:\s?'")
_PYTHON_TAIL = re.compile(r"((?:[^'\\]|\\.|'(?!\s?[,}]))*)'\s?[,}]", re.DOTALL)
_START = re.compile(r"[{\[]")
_ID_KEYS = (
    "region", "region_id", "regionid", "id", "number", "index", "tag", "区域", "编号", "name",
)  # fmt: skip
_TEXT_KEYS = (
    "caption", "description", "text", "content", "desc", "summary", "描述", "内容", "label",
)  # fmt: skip
#: Attempts at decoding, how often all of them together may read the text, and depth of nesting:
#: far above any answer, far below any harm.
_MAX_STARTS = 200
_MAX_READINGS = 10
_MAX_DEPTH = 8


@dataclass(slots=True)
class JsonCaptions:
    """What JSON in an answer says of regions."""

    #: Text by region; empty for null and "".
    texts: dict[int, str] = field(default_factory=dict)
    #: Regions whose text breaks off.
    cut: set[int] = field(default_factory=set)
    #: Captions that name no region.
    unnamed: list[str] = field(default_factory=list)


def json_captions(text: str) -> JsonCaptions:
    """Finds captions in JSON anywhere in a text; of two for a region, the first counts.

    Reads `{"region1": "..."}`, `{"1": {"caption": "..."}}`, `[{"region": 1, "caption": "..."}]` and
    these wrapped in other objects, with or without other text around. From JSON that is broken or
    cut off come the complete pairs.
    """
    found = JsonCaptions()
    for value in _values(text):
        _walk(value, found, _MAX_DEPTH)
    text = squeeze(text).replace("\n ", "\n")  # between two words one character, line feeds stay
    for match in _PAIR.finditer(text):
        if match[3] != '"':
            if int(match[1]) not in found.texts:
                found.cut.add(int(match[1]))
        else:
            found.texts.setdefault(int(match[1]), _unescaped(match[2]))
    for number, words in _python_pairs(text):
        found.texts.setdefault(number, words)
    for match in _BARE_PAIR.finditer(text):
        found.texts.setdefault(int(match[1]), _unescaped(match[2]))
    return found


def _python_pairs(text: str) -> Iterator[tuple[int, str]]:
    position = 0
    while (head := _PYTHON_HEAD.search(text, position)) and (
        # Where this one has no end, none after it has.
        tail := _PYTHON_TAIL.match(text, head.end())
    ):
        yield int(head[1]), tail[1].replace("\\'", "'")
        position = tail.end()


def _values(text: str) -> Iterator[Any]:
    # Of two values of a key, the first counts.
    decoder = json.JSONDecoder(strict=False, object_pairs_hook=lambda pairs: dict(reversed(pairs)))
    position, to_read = 0, _MAX_READINGS * len(text)
    for _ in range(_MAX_STARTS):
        start = _START.search(text, position)
        if start is None or to_read < 0:
            return
        try:
            value, position = decoder.raw_decode(text, start.start())
        except (ValueError, RecursionError) as error:
            position = start.end()
            to_read -= _last_read(text, error) - start.start()
        else:
            yield value


def _last_read(text: str, error: Exception) -> int:
    """How far a failed attempt at decoding has read."""
    if isinstance(error, json.JSONDecodeError) and not error.msg.startswith("Unterminated"):
        return error.pos
    return len(text)  # the error of a string names its beginning


def _unescaped(text: str) -> str:
    try:
        return str(json.loads(f'"{text}"', strict=False))
    except ValueError:
        return text.replace('\\"', '"').replace("\\n", " ")


def _walk(value: object, found: JsonCaptions, depth: int) -> None:
    if depth == 0:
        return
    if isinstance(value, list):
        for item in value:
            _walk(item, found, depth - 1)
    elif isinstance(value, str):
        found.unnamed.append(value)
    elif isinstance(value, dict):
        _walk_object(value, found, depth)


def _walk_object(value: dict[str, Any], found: JsonCaptions, depth: int) -> None:
    number = next((n for k in _ID_KEYS if (n := _number(value.get(k))) is not None), None)
    if number is not None:
        found.texts.setdefault(number, _text({k: v for k, v in value.items() if k not in _ID_KEYS}))
        return
    for name, item in value.items():
        number = _number(name)
        if number is not None:
            found.texts.setdefault(number, _text(item))
        elif isinstance(item, dict | list):
            _walk(item, found, depth - 1)
        elif isinstance(item, str) and name.lower() in _TEXT_KEYS:
            found.unnamed.append(item)


def _number(value: object) -> int | None:
    """The region that a key or an id names: "region1", "<region 1>", "1", 1."""
    if isinstance(value, str):
        match = _NUMBER_KEY.fullmatch(fold(value))
        return int(match[1]) if match else None
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
