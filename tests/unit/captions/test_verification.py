"""Captions asked back: the question, what an answer means, and what becomes of a region."""

from __future__ import annotations

import asyncio
from collections.abc import Callable, Sequence
from typing import Any

import pytest

from regioncap.captions.conversation import Captioned, caption_records, verify_records
from regioncap.captions.verification import Claim, read_choice, verify
from regioncap.engines.base import CaptionRequest
from regioncap.engines.baseline import BaselineEngine
from regioncap.errors import RequestError
from regioncap.records import Region, RenderedRecord
from regioncap.views.render import render_record
from regioncap.views.view import Shown, crop_regions
from tests.support.engines import Reply, ScriptedEngine
from tests.support.records import coloured, make_record, png, view_settings

SOURCE = png(coloured((640, 480), {(20, 20, 200, 200): (200, 20, 20)}))
BOXES = [[10.0, 10, 200, 200], [300.0, 50, 200, 200], [50.0, 250, 200, 200]]


def said(request: CaptionRequest) -> str:
    return "\n".join(f"In <region{r.number}>, thing {r.number}." for r in request.regions)


def caption(
    reply: Callable[[CaptionRequest], Reply], **settings: Any
) -> tuple[Captioned, ScriptedEngine]:
    how = view_settings(**settings)
    record, pictures = render_record(make_record(BOXES), SOURCE, how)

    def crop(record: RenderedRecord, chosen: Sequence[Region]) -> list[Shown]:
        return crop_regions(record, chosen, SOURCE, how)

    engine = ScriptedEngine(reply)
    [done] = asyncio.run(caption_records([record], dict(pictures), engine, how, crop))
    return done, engine


def test_each_caption_is_asked_back_on_its_picture() -> None:
    answers = {"Thing 1.": "1", "Thing 2.": "3", "Thing 3.": "none"}

    done, engine = caption(lambda r: answers[r.claim] if r.choices else said(r), verify="mark")

    first, *back = engine.requests
    assert [request.claim for request in back] == list(answers)
    for request in back:
        assert request.image == first.image
        # The same words up to the picture: a prefix cache holds both.
        assert (request.prompt.system, request.prompt.before) == (
            first.prompt.system,
            first.prompt.before,
        )
        assert request.choices == ("1", "2", "3", "none")
        assert f'"{request.claim}"' in request.prompt.after
        assert request.sampling.temperature == 0
    regions = done.record.regions
    assert [(r.verified, r.verified_as) for r in regions] == [(True, 1), (False, 3), (False, None)]
    assert [r.status for r in regions] == ["ok"] * 3
    assert done.requests == 4
    assert [each.regions for each in done.answers] == [[1, 2, 3]]


def test_nothing_is_asked_back_unless_that_is_wanted() -> None:
    done, engine = caption(said)
    assert len(engine.requests) == 1
    assert {region.verified for region in done.record.regions} == {None}


def test_a_crop_is_true_or_not() -> None:
    def reply(request: CaptionRequest) -> str:
        if not request.choices:
            return f"Thing {request.regions[0].number}."
        return "no" if request.claim == "Thing 2." else "yes"

    done, engine = caption(reply, verify="mark", region_mode="crop")
    assert engine.requests[3].choices == ("yes", "no")
    found = [(region.verified, region.verified_as) for region in done.record.regions]
    assert found == [(True, 1), (False, None), (True, 3)]


@pytest.mark.parametrize("reply", ["I cannot say.", "1 or 2", "7", RequestError("no room")])
def test_an_answer_that_says_nothing_is_no_verdict(reply: Reply) -> None:
    done, _ = caption(lambda r: reply if r.choices else said(r), verify="mark")
    assert {(r.verified, r.verified_as) for r in done.record.regions} == {(None, None)}
    assert done.record.error is None


def test_a_region_without_a_caption_is_not_asked_back() -> None:
    done, engine = caption(
        lambda r: r.choices[0] if r.choices else said(r).replace("thing 2", "???"), verify="mark"
    )
    assert done.record.regions[1].status != "ok"
    assert [r.claim for r in engine.requests if r.choices] == ["Thing 1.", "Thing 3."]
    assert done.record.regions[1].verified is None


@pytest.mark.parametrize(("second", "kept"), [("2", "A cup."), ("1", "Thing 2.")])
def test_retry_takes_another_caption_only_if_that_is_found_true(second: str, kept: str) -> None:
    def reply(request: CaptionRequest) -> str:
        if request.claim == "A cup.":
            return second
        if request.choices:
            return {"Thing 2.": "1"}.get(request.claim, request.claim[-2])
        return said(request) if request.mark_style else "A cup."

    done, engine = caption(reply, verify="retry")

    region = done.record.regions[1]
    assert region.caption == kept
    assert (region.verified, region.verified_as) == ((True, 2) if second == "2" else (False, 1))
    assert region.view == ("crop" if second == "2" else "marks")
    crops = [r for r in engine.requests if not r.mark_style]
    assert [[shown.number for shown in r.regions] for r in crops] == [[2]]


def test_a_crop_that_is_there_is_asked_about_again_as_it_is() -> None:
    made: list[Region] = []
    how = view_settings(verify="retry", region_mode="crop")
    record, pictures = render_record(make_record(BOXES), SOURCE, how)

    def crop(_: RenderedRecord, chosen: Sequence[Region]) -> list[Shown]:
        made.extend(chosen)
        return []

    engine = ScriptedEngine(lambda r: "no" if r.choices else "A thing.")
    asyncio.run(caption_records([record], dict(pictures), engine, how, crop))

    assert not made
    questions = [request for request in engine.requests if not request.choices]
    assert [request.image for request in questions[:3]] == [q.image for q in questions[3:]]


def test_captions_of_earlier_are_asked_back_alone() -> None:
    done, _ = caption(said)
    how = view_settings()
    _, pictures = render_record(make_record(BOXES), SOURCE, how)
    engine = ScriptedEngine(lambda r: r.claim[-2])

    [again] = asyncio.run(verify_records([done.record], dict(pictures), engine, how, lambda *_: []))

    assert [region.verified for region in again.record.regions] == [True] * 3
    assert again.requests == len(engine.requests) == 3


def test_the_baseline_knows_its_own_captions() -> None:
    how = view_settings()
    record, pictures = render_record(make_record(BOXES), SOURCE, how)
    engine = BaselineEngine()
    asyncio.run(caption_records([record], dict(pictures), engine, how, lambda *_: []))
    texts = [region.caption or "" for region in record.regions]
    claims = [Claim(1, texts[0]), Claim(2, texts[0]), Claim(3, "A unicorn."), Claim(9, "x")]

    verdicts, cost = asyncio.run(verify(record, claims, dict(pictures), engine, how))

    found = [(verdict.verified, verdict.verified_as) for verdict in verdicts]
    assert found == [(True, 1), (False, 1), (False, None), (None, None)]
    assert cost.requests == 3


@pytest.mark.parametrize(
    ("text", "choice"),
    [
        ("2", "2"),
        (" 2.", "2"),
        ("<region2>", "2"),
        ("Region 2", "2"),
        ("The tag reads 02", "2"),
        ("None.", "none"),
        ("none of them", "none"),
        ("<think>1 or 3?</think>2", "2"),
        ("1 or 2", None),
        ("2, not 7", None),
        ("7", None),
        ("12", None),
        ("", None),
        ("yes", None),
    ],
)
def test_read_choice(text: str, choice: str | None) -> None:
    assert read_choice(text, ("1", "2", "3", "none")) == choice


def test_read_yes_or_no() -> None:
    assert read_choice("Yes, it is.", ("yes", "no")) == "yes"
    assert read_choice("No", ("yes", "no")) == "no"
    assert read_choice("yes and no", ("yes", "no")) is None
