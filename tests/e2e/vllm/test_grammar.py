"""Every schema of regions that a submission takes is held by the real grammar."""

from __future__ import annotations

import json
from dataclasses import replace
from typing import Any

import pytest

from regioncap.captions.attributes import parse
from regioncap.engines.base import Answer
from regioncap.views import prompts
from regioncap.views.region_schema import BUILT_IN, load_schema, normalized
from tests.e2e.vllm.conftest import Ask
from tests.support.scenes import question
from tests.unit.views.test_region_schema import FIELDS, VALUE

SCHEMAS = {name: load_schema(name) for name in BUILT_IN} | {
    "all that may be said": normalized({"type": "object", "properties": FIELDS}, "")
}


@pytest.mark.parametrize("name", SCHEMAS)
def test_vllm_takes_it_for_one_that_its_grammar_holds(name: str) -> None:
    import xgrammar
    from vllm.v1.structured_output.backend_xgrammar import has_xgrammar_unsupported_json_features

    schema = prompts.answer_schema([1, 2], SCHEMAS[name])
    assert not has_xgrammar_unsupported_json_features(schema)
    assert xgrammar.Grammar.from_json_schema(json.dumps(schema), any_whitespace=False)


@pytest.mark.parametrize(
    ("change", "held"),
    [
        ({}, True),
        ({"type": "lamp"}, False),
        ({"colour": "reddish brown"}, False),
        ({"count": 10}, False),
        ({"materials": ["a"] * 4}, False),
        ({"text": {"clear": True}}, False),
        ({"extra": 1}, False),
        ({"caption": ""}, False),
    ],
)
def test_the_grammar_holds_what_the_check_demands(change: dict[str, Any], held: bool) -> None:
    import xgrammar
    from xgrammar.testing import _is_grammar_accept_string

    schema = prompts.answer_schema([1], SCHEMAS["all that may be said"])
    grammar = xgrammar.Grammar.from_json_schema(json.dumps(schema), any_whitespace=False)
    value = VALUE | {"text": {"says": "38", "clear": True}} | change
    text = json.dumps({"region1": value}, separators=(",", ":"))
    assert _is_grammar_accept_string(grammar, text) is held


def test_noise_comes_out_as_the_schema_says(ask: Ask) -> None:
    schema = load_schema("referring")
    plain = question(3)
    prompt = replace(plain.prompt, answer_schema=prompts.answer_schema([1, 2], schema))
    sampling = replace(plain.sampling, max_tokens=700)
    (answer,) = ask([replace(plain, prompt=prompt, sampling=sampling)])
    assert isinstance(answer, Answer), answer
    if answer.finish_reason == "stop":
        found = parse(answer.text, [1, 2], schema)
        assert {each.status for each in found.values()} <= {"ok", "invalid"}
        assert not any(each.why and ":" in each.why for each in found.values())
