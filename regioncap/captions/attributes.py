"""Answers with attributes: from JSON with an object a region to its caption and its other fields.

An engine with a grammar wrote what the schema says; of any other, each region's object is looked
for in the text and checked. One that is not as the schema says is `invalid`, with the reason.
"""

from __future__ import annotations

import json
import re
from collections.abc import Iterator, Sequence
from typing import Any, NamedTuple

from regioncap.captions import answers
from regioncap.captions.answers import MAX_CHARS, RegionAnswer
from regioncap.captions.json_answers import json_values, region_number
from regioncap.captions.refusals import is_refusal
from regioncap.captions.texts import printable
from regioncap.views.region_schema import RegionSchema, caption_of, fault

#: A region's name before its object, in either quotes or none.
_NAMED = re.compile(r"""["'{,]\s?<?([^\W\d_]{2,12}[\s_\-#]?)?(\d{1,4})>?["']?\s?:\s?(?=\{)""")
#: Objects that break off: one answer has one, and a text that runs wild any number.
_MAX_FAILURES = 40
_ID_KEYS = ("region", "region_id", "id", "number")


def parse(
    text: str, numbers: Sequence[int], schema: RegionSchema, *, finish_reason: str = "stop"
) -> dict[int, RegionAnswer]:
    """Takes an answer apart.

    Args:
        text: What the engine wrote.
        numbers: The regions asked for.
        schema: What was asked of each.
        finish_reason: Why the text ended; anything but `stop` means that it was cut off.

    Returns:
        An entry for each region asked for, in the order asked, and for no other.
    """
    body = answers.without_thoughts(printable(text[:MAX_CHARS])).strip()
    found: dict[int, Any] = {}
    cut: set[int] = set()
    bare: set[int] = set()
    for each in _objects(body, len(numbers) == 1, numbers[0] if numbers else 0):
        if each.value is None:
            cut.add(each.number)
        else:
            found.setdefault(each.number, each.value)
        if each.is_bare:
            bare.add(each.number)
    if 0 in found or answers.counts_otherwise(bare, numbers):
        found, cut = {}, set()
    ended = finish_reason == "stop" and len(text) <= MAX_CHARS
    refused = is_refusal(body)
    return {
        number: _read(found[number], schema)
        if number in found
        else _without(number in cut or not ended, refused=refused)
        for number in dict.fromkeys(numbers)
    }


class _Object(NamedTuple):
    """A region's object."""

    number: int
    #: None for one that breaks off.
    value: Any
    #: Whether a number alone names the region.
    is_bare: bool


def _objects(body: str, is_alone: bool, number: int) -> Iterator[_Object]:
    decoder = json.JSONDecoder(strict=False)
    named, position, failures = False, 0, 0
    while failures < _MAX_FAILURES and (match := _NAMED.search(body, position)):
        named = True
        try:
            value, position = decoder.raw_decode(body, match.end())
        except (ValueError, RecursionError):
            failures, position = failures + 1, match.end()
            yield _Object(int(match[2]), None, not match[1])
        else:
            yield _Object(int(match[2]), value, not match[1])
    if named:
        return
    for value in json_values(body):
        for each in value if isinstance(value, list) else [value]:
            if not isinstance(each, dict):
                continue
            key = next((key for key in _ID_KEYS if region_number(each.get(key)) is not None), None)
            if key is not None and not is_alone:
                own = {name: inner for name, inner in each.items() if name != key}
                is_bare = str(each[key]).strip().isdecimal()
                yield _Object(region_number(each[key]) or 0, own, is_bare)
            elif is_alone:
                yield _Object(number, each, is_bare=False)


def _read(value: dict[str, Any], schema: RegionSchema) -> RegionAnswer:
    if reason := fault(value, schema):
        return RegionAnswer("invalid", why=reason)
    name = caption_of(schema)
    verdict = answers.verdict(value[name])
    if verdict.status != "ok":
        return verdict
    others = {field: inner for field, inner in value.items() if field != name}
    return RegionAnswer("ok", verdict.caption, attributes=others)


def _without(is_cut: bool, *, refused: bool) -> RegionAnswer:
    if refused:
        return RegionAnswer("refused", why=answers.REFUSED)
    if is_cut:
        return RegionAnswer("invalid", why=answers.CUT_OFF)
    return RegionAnswer("missing", why=answers.NOT_IN_ANSWER)
