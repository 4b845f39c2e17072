"""Schemas of regions, and choices of captions asked back, are held by the real grammar."""

from __future__ import annotations

import json
from dataclasses import replace
from typing import Any

import pytest

from regioncap.captions.attributes import parse
from regioncap.captions.verification import Claim, verify
from regioncap.engines.base import Answer, CaptionRequest
from regioncap.engines.thread import EngineThread
from regioncap.settings import JobSettings
from regioncap.views import prompts
from regioncap.views.region_schema import BUILT_IN, load_schema, normalized
from regioncap.views.render import render_record
from regioncap.views.view import ViewSettings
from tests.e2e.vllm.conftest import Ask
from tests.support.records import LIMITS, coloured, make_record, png
from tests.support.scenes import GREEDY, question
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
    grammar = xgrammar.Grammar.from_json_schema(
        json.dumps(schema), any_whitespace=False, separators=(",", ":")
    )
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


def test_captions_are_asked_back_by_choice_from_the_caches(engine_thread: EngineThread) -> None:
    how = ViewSettings("back", JobSettings(), prompts.built_in("default"), LIMITS)
    boxes = [[40.0, 30, 300, 200], [360.0, 240, 200, 200]]
    picture = png(coloured((640, 480), {(40, 30, 340, 230): (200, 20, 20)}))
    record, pictures = render_record(make_record(boxes), picture, how)
    [view] = record.views
    first = CaptionRequest("back-0", pictures[0][1], view.prompt, GREEDY, tuple(view.regions))
    [_] = engine_thread.run(engine_thread.engine.caption([first])).result(120)

    asked: list[CaptionRequest] = []

    class Noting:
        """The engine, with what it is asked and answers."""

        async def caption(self, requests: list[CaptionRequest]) -> list[Any]:
            asked.extend(requests)
            found.extend(await engine_thread.engine.caption(requests))
            return found

    found: list[Any] = []
    claims = [Claim(1, "A red box."), Claim(2, "Nothing of note, and $5.")]
    work = verify(record, claims, dict(pictures), Noting(), how)  # type: ignore[arg-type]
    verdicts, cost = engine_thread.run(work).result(120)

    assert [answer.text in ("1", "2", "none") for answer in found] == [True, True]
    assert all(verdict.verified is not None for verdict in verdicts)
    for answer in found:
        # Words and picture were known: a few tokens are new.
        assert answer.details["cached_tokens"] >= answer.details["image_tokens"] > 0
        assert answer.completion_tokens <= 6
    assert cost.requests == 2
