"""Objects of regions in answers: whole, wrapped, broken or wrong."""

from __future__ import annotations

import json
import math
from typing import Any

import pytest

from regioncap.captions.attributes import parse
from regioncap.views.region_schema import normalized

SCHEMA = normalized(
    {
        "type": "object",
        "properties": {
            "type": {"enum": ["cat", "dog"]},
            "parts": {"type": "integer"},
            "size": {"type": "number"},
        },
        "required": ["type"],
    },
    "",
)
CAT = {"caption": "a grey cat", "type": "cat"}
DOG = {"caption": "A dog runs.", "type": "dog", "parts": 2}


def said(value: Any) -> str:
    return json.dumps(value)


@pytest.mark.parametrize(
    "text",
    [
        said({"region1": CAT, "region2": DOG}),
        said({"1": CAT, "2": DOG}),
        said({"answer": {"region 1": CAT, "region 2": DOG}}),
        said([{"region": 1, **CAT}, {"region": "region2", **DOG}]),
        "Here it is:\n```json\n" + json.dumps({"region1": CAT, "region2": DOG}, indent=2) + "\n```",
        "<think>region1 may be a dog</think>" + said({"region1": CAT, "region2": DOG}),
        # Of two answers the first counts.
        said({"region1": CAT, "region2": DOG}) + said({"region1": DOG}),
    ],
)
def test_each_region_has_its_caption_and_its_fields(text: str) -> None:
    found = parse(text, [1, 2], SCHEMA)
    assert list(found) == [1, 2]
    assert (found[1].status, found[1].caption) == ("ok", "A grey cat")
    assert found[1].attributes == {"type": "cat"}
    assert (found[2].caption, found[2].attributes) == ("A dog runs.", {"type": "dog", "parts": 2})


@pytest.mark.parametrize("text", [said({"region7": CAT}), said(CAT), said([CAT])])
def test_a_region_alone(text: str) -> None:
    found = parse(text, [7], SCHEMA)[7]
    assert (found.status, found.attributes) == ("ok", {"type": "cat"})


@pytest.mark.parametrize(
    ("value", "why"),
    [
        (CAT | {"type": "cow"}, "type: 'cow' is none of the choices"),
        ({"type": "cat"}, "caption is missing"),
        (CAT | {"legs": 4}, "'legs' is no field"),
        (CAT | {"caption": "..."}, "no words"),
        (CAT | {"parts": 2**63}, "parts: '9223372036854775808' is no integer"),
        (CAT | {"size": math.nan}, "size: 'NaN' is no number"),
        (CAT | {"size": -math.inf}, "size: '-Infinity' is no number"),
        (CAT | {"size": 10**400}, f"size: '1{'0' * 39}...' is no number"),
    ],
)
def test_what_is_not_as_the_schema_says_is_invalid(value: Any, why: str) -> None:
    found = parse(said({"region1": value, "region2": DOG}), [1, 2], SCHEMA)
    assert (found[1].status, found[1].why, found[1].attributes) == ("invalid", why, None)
    assert found[2].status == "ok"


def test_what_is_cut_off_or_left_out() -> None:
    text = said({"region1": CAT, "region2": DOG, "region3": CAT})
    found = parse(text[: text.index("region3") + 12], [1, 2, 3], SCHEMA, finish_reason="length")
    assert [found[n].status for n in (1, 2, 3)] == ["ok", "ok", "invalid"]
    assert found[3].why == "cut off"
    assert parse(said({"region1": CAT}), [1, 2], SCHEMA)[2].status == "missing"


def test_a_text_of_objects_gives_no_region_a_caption_by_its_place() -> None:
    assert [a.status for a in parse(said([CAT, DOG]), [1, 2], SCHEMA).values()] == ["missing"] * 2


@pytest.mark.parametrize(
    ("value", "numbers"),
    [
        ([{"id": 0, **CAT}, {"id": 1, **DOG}], [1, 2]),
        ({"region0": CAT, "region1": DOG}, [1, 2]),
        ([{"id": 1, **CAT}, {"id": "2", **DOG}], [2, 5]),
        ({"1": CAT, "2": DOG}, [2, 5]),
    ],
)
def test_numbers_that_count_otherwise_name_no_region(value: Any, numbers: list[int]) -> None:
    assert {a.status for a in parse(said(value), numbers, SCHEMA).values()} == {"missing"}


def test_a_refusal() -> None:
    assert parse("I'm sorry, I can't help with that.", [1], SCHEMA)[1].status == "refused"


@pytest.mark.parametrize(
    "text", ['{"region1":' * 20_000, '{"1":{' * 20_000, "[" * 131_000, "{" * 9]
)
def test_a_model_that_runs_wild_costs_no_time(text: str) -> None:
    assert parse(text, [1], SCHEMA)[1].status in {"invalid", "missing"}
