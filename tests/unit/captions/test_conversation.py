"""From a record's views to its captions: who is asked again, and how."""

from __future__ import annotations

import asyncio
import json
import threading
from collections.abc import Callable, Sequence
from dataclasses import replace
from typing import Any, ClassVar

import pytest

from regioncap.captions.conversation import Captioned, caption_records, verify_records
from regioncap.engines.base import Answer, CaptionRequest
from regioncap.errors import EngineAwayError, EngineDeadError, RecordError, RequestError
from regioncap.records import Problem, Region, RenderedRecord
from regioncap.views.region_schema import normalized
from regioncap.views.render import render_record
from regioncap.views.view import Shown, ViewSettings, crop_regions
from tests.support.engines import Reply, ScriptedEngine
from tests.support.records import coloured, make_record, png, view_settings

SOURCE = png(coloured((640, 480), {}))
BOXES = [[10.0, 10, 200, 200], [300.0, 50, 200, 200], [50.0, 250, 200, 200]]


def caption(
    reply: Callable[[CaptionRequest], Reply],
    how: ViewSettings | None = None,
    boxes: list[list[float]] = BOXES,
) -> tuple[Captioned, ScriptedEngine]:
    how = how or view_settings()
    record, pictures = render_record(make_record(boxes), SOURCE, how)

    def crop(record: RenderedRecord, chosen: Sequence[Region]) -> list[Shown]:
        return crop_regions(record, chosen, SOURCE, how)

    engine = ScriptedEngine(reply)
    [done] = asyncio.run(caption_records([record], dict(pictures), engine, how, crop))
    return done, engine


def asked(engine: ScriptedEngine) -> list[tuple[list[int], str]]:
    """Which regions each request was about, and the style of its marks."""
    return [
        ([r.number for r in request.regions], request.mark_style) for request in engine.requests
    ]


def lines(request: CaptionRequest, *without: int) -> str:
    return "\n".join(
        f"In <region{r.number}>, a thing of kind {r.number}."
        for r in request.regions
        if r.number not in without
    )


def test_one_request_where_all_is_answered() -> None:
    done, engine = caption(lines)

    assert asked(engine) == [([1, 2, 3], "v1")]
    assert [region.status for region in done.record.regions] == ["ok"] * 3
    assert {region.view for region in done.record.regions} == {"marks"}


def test_region_left_out_is_asked_for_alone_in_the_same_picture() -> None:
    done, engine = caption(lambda r: lines(r, 2) if len(r.regions) > 1 else lines(r))

    assert asked(engine) == [([1, 2, 3], "v1"), ([2], "v1")]
    assert engine.requests[1].image == engine.requests[0].image
    assert done.record.regions[1].caption == "A thing of kind 2."


def test_region_still_left_out_is_asked_for_by_a_crop() -> None:
    done, engine = caption(lambda r: "" if r.mark_style and len(r.regions) == 1 else lines(r, 2))

    assert asked(engine) == [([1, 2, 3], "v1"), ([2], "v1"), ([2], "")]
    assert engine.requests[2].image != engine.requests[0].image
    assert done.record.regions[1].view == "crop"
    assert [region.status for region in done.record.regions] == ["ok", "missing", "ok"]


def test_crop_gives_the_caption() -> None:
    done, _ = caption(lambda r: lines(r, 2) if r.mark_style else "A cup.")

    assert [region.caption for region in done.record.regions][1] == "A cup."
    assert done.record.error is None


def test_hopeless_region_is_an_error_of_its_own_only() -> None:
    done, engine = caption(lambda r: lines(r, 3))

    assert len(engine.requests) == 3
    assert [region.status for region in done.record.regions] == ["ok", "ok", "missing"]
    assert done.record.regions[2].why == "not in the answer"
    assert done.record.error is None
    assert done.requests == 3


def test_record_without_any_caption_is_an_error() -> None:
    done, engine = caption(lambda _: "")

    assert len(engine.requests) == 1 + 3 + 3
    assert done.record.error is not None
    assert done.record.error.code == "no-caption"


def test_what_the_engine_wrote_is_kept_request_by_request() -> None:
    done, _ = caption(lambda r: "!" * (9 + len(r.regions)))

    assert done.record.error is not None
    assert [each.regions for each in done.answers] == [[1, 2, 3], *[[n] for n in (1, 2, 3)] * 2]
    assert done.answers[0].text == "!" * 12
    assert {each.finish_reason for each in done.answers} == {"stop"}


def test_answer_cut_off_is_asked_for_again() -> None:
    def reply(request: CaptionRequest) -> Answer:
        whole = len(request.regions) == 1
        return Answer(lines(request), finish_reason="stop" if whole else "length")

    done, engine = caption(reply)

    assert asked(engine)[1:] == [([3], "v1")]
    assert done.record.regions[2].status == "ok"
    assert done.finish_reason == "length"


def test_refusal_is_taken_at_its_word() -> None:
    done, engine = caption(lambda _: "I'm sorry, but I can't help with that.")

    assert len(engine.requests) == 1
    assert {region.status for region in done.record.regions} == {"refused"}


def test_request_that_fails_is_tried_in_other_ways() -> None:
    def reply(request: CaptionRequest) -> Reply:
        return RequestError("too large") if request.mark_style else "A cup."

    done, _ = caption(reply)

    assert [region.caption for region in done.record.regions] == ["A cup."] * 3


def test_failure_is_told_where_nothing_helps() -> None:
    done, _ = caption(lambda _: RequestError("too large", code="prompt-too-long"))

    assert done.record.error is not None
    assert done.record.error.code == "prompt-too-long"


@pytest.mark.parametrize(("seed", "expected"), [(7, [7, 8, 9]), (None, [None] * 3)])
def test_asking_again_takes_another_seed(seed: int | None, expected: list[int | None]) -> None:
    _, engine = caption(lambda r: lines(r, 1), view_settings(seed=seed))

    assert [request.sampling.seed for request in engine.requests] == expected


class Seen(str):
    """A text that knows in which thread it was read."""

    threads: ClassVar[list[str]] = []

    def splitlines(self, keepends: bool = False) -> list[str]:
        self.threads.append(threading.current_thread().name)
        return super().splitlines(keepends)


def test_answers_are_read_beside_the_loop() -> None:
    done, _ = caption(lambda r: Answer(Seen(lines(r))))

    assert [region.status for region in done.record.regions] == ["ok"] * 3
    assert Seen.threads
    assert threading.main_thread().name not in Seen.threads


def test_rounds_are_merged_in_order() -> None:
    boxes = [[10.0 * i, 10.0 * i, 50, 50] for i in range(25)]

    done, engine = caption(lines, boxes=boxes)

    assert len(engine.requests) == 3
    assert [region.caption for region in done.record.regions] == [
        f"A thing of kind {i}." for i in range(1, 26)
    ]


def test_crop_mode_asks_one_request_a_region_and_once_more() -> None:
    done, engine = caption(
        lambda r: "" if r.regions[0].number == 2 else "A cup.", view_settings(region_mode="crop")
    )

    assert asked(engine) == [([1], ""), ([2], ""), ([3], ""), ([2], "")]
    assert [region.status for region in done.record.regions] == ["ok", "missing", "ok"]
    assert {region.view for region in done.record.regions} == {"crop"}


def test_source_that_is_gone_leaves_the_region_as_it_was() -> None:
    how = view_settings()
    record, pictures = render_record(make_record(BOXES), SOURCE, how)

    def gone(record: RenderedRecord, chosen: Sequence[Region]) -> list[Shown]:
        raise RecordError("there is no object")

    engine = ScriptedEngine(lambda r: lines(r, 1))
    [done] = asyncio.run(caption_records([record], dict(pictures), engine, how, gone))

    assert done.record.regions[0].why == "not in the answer"
    assert done.record.error is None


def captioned_together(
    reply: Callable[[CaptionRequest], Reply], *records: RenderedRecord
) -> tuple[list[Captioned], ScriptedEngine]:
    """Several records at once, none of whose crops can be made."""
    how = view_settings()
    pictures: dict[str, bytes] = {}
    rendered = []
    for index, record in enumerate(records):
        given = make_record(BOXES).model_copy(update={"index": index, "error": record.error})
        if given.error is None:
            record, drawn = render_record(given, SOURCE, how)  # noqa: PLW2901
            pictures |= dict(drawn)
        rendered.append(record)
    engine = ScriptedEngine(reply)
    return asyncio.run(caption_records(rendered, pictures, engine, how, lambda *_: [])), engine


FRESH = RenderedRecord(index=0, line=1)


def test_records_do_not_mix() -> None:
    def reply(request: CaptionRequest) -> str:
        return "\n".join(f"In <region{r.number}>, {request.request_id}." for r in request.regions)

    done, _ = captioned_together(reply, FRESH, FRESH)

    for index, each in enumerate(done):
        for region in each.record.regions:
            assert region.caption == f"{view_settings().name}-{index}-0."


def test_tokens_and_texts_are_summed_over_requests() -> None:
    def reply(request: CaptionRequest) -> Answer:
        text = lines(request, 2) if len(request.regions) > 1 else lines(request)
        return Answer(text, prompt_tokens=10, completion_tokens=len(request.regions))

    done, engine = caption(reply)

    assert (done.prompt_tokens, done.completion_tokens, done.requests) == (20, 4, 2)
    assert done.answers[1].text == "In <region2>, a thing of kind 2."
    assert len({request.request_id for request in engine.requests}) == 2


def test_a_failed_request_spares_the_neighbours() -> None:
    def reply(request: CaptionRequest) -> Reply:
        if request.request_id.startswith(f"{view_settings().name}-1-"):
            return RequestError("too long", code="engine-too-long", hint="shorten it")
        return lines(request)

    [first, second, third], _ = captioned_together(reply, FRESH, FRESH, FRESH)

    assert first.record.error is third.record.error is None
    assert second.record.error == Problem(
        code="engine-too-long", message="too long (shorten it)", stage="caption"
    )
    assert [region.why for region in second.record.regions] == ["too long (shorten it)"] * 3


def test_an_error_record_is_passed_on_unasked() -> None:
    problem = Problem(code="image-missing", message="gone", stage="submit")
    broken = RenderedRecord(index=0, line=1, error=problem)

    [done], engine = captioned_together(lines, broken)

    assert done.record is broken
    assert engine.requests == []


def test_a_dead_engine_ends_the_shard() -> None:
    def reply(_: CaptionRequest) -> Reply:
        raise EngineDeadError("gone")

    with pytest.raises(EngineDeadError):
        captioned_together(reply, FRESH, FRESH)


class AwayEngine(ScriptedEngine):
    """Is away when it is asked about the first record; about others it answers nothing."""

    def __init__(self) -> None:
        super().__init__(lines)
        self.running = 0

    async def caption(self, requests: Sequence[CaptionRequest]) -> list[Answer | RequestError]:
        if requests[0].request_id.split("-")[-2] == "0":
            await asyncio.sleep(0)  # the others are asked by then
            raise EngineAwayError("away")
        self.running += 1
        try:
            await asyncio.Event().wait()
        finally:
            await asyncio.sleep(0)  # taking a request out takes a turn, too
            self.running -= 1
        return []


@pytest.mark.parametrize("ask", [caption_records, verify_records])
def test_an_error_of_one_record_leaves_no_request_of_others_in_the_engine(ask: Any) -> None:
    how = view_settings()
    record, pictures = render_record(make_record(BOXES), SOURCE, how)
    record.regions[0].caption = "A cup."  # to be asked back
    records = [record.model_copy(update={"index": index}) for index in range(3)]
    engine = AwayEngine()

    async def run() -> None:
        with pytest.raises(EngineAwayError):
            await ask(records, dict(pictures), engine, how, lambda *_: [])
        assert engine.running == 0
        assert len(asyncio.all_tasks()) == 1

    asyncio.run(run())


def test_attributes_come_with_the_caption_by_one_request() -> None:
    schema = normalized({"type": "object", "properties": {"count": {"type": "integer"}}}, "")
    how = replace(view_settings(prompt="fields-2"), schema=schema)

    def reply(request: CaptionRequest) -> str:
        values = {
            f"region{r.number}": {"caption": "A cup.", "count": r.number} for r in request.regions
        }
        if len(request.regions) > 1:
            values["region2"]["count"] = "two"
        return json.dumps(values)

    done, engine = caption(reply, how)

    assert asked(engine) == [([1, 2, 3], "v1"), ([2], "v1")]
    assert '"count" (integer)' in engine.requests[0].prompt.system
    wanted = engine.requests[0].prompt.answer_schema
    assert wanted is not None
    assert wanted["properties"]["region1"]["required"] == ["caption", "count"]
    assert [region.attributes for region in done.record.regions] == [
        {"count": n} for n in (1, 2, 3)
    ]
    assert {region.caption for region in done.record.regions} == {"A cup."}


def whole(request: CaptionRequest) -> bool:
    return not request.regions


def test_the_whole_picture_is_captioned_beside_its_regions_without_marks() -> None:
    how = view_settings(image_caption=True)
    done, engine = caption(lambda r: "A room." if whole(r) else lines(r), how)

    assert asked(engine) == [([1, 2, 3], "v1"), ([], "")]
    assert engine.requests[1].image != engine.requests[0].image
    assert done.record.image_caption == "A room."
    assert [region.status for region in done.record.regions] == ["ok"] * 3


def test_a_whole_picture_without_a_caption_is_asked_for_once_more() -> None:
    how = view_settings(image_caption=True)
    done, engine = caption(lambda r: "..." if whole(r) else lines(r), how)

    assert [numbers for numbers, _ in asked(engine)] == [[1, 2, 3], [], []]
    assert done.record.image_caption is None
    assert done.record.error is None


def test_a_picture_without_regions_may_have_a_caption() -> None:
    how = view_settings(image_caption=True)
    done, _ = caption(lambda _: "An empty street.", how, boxes=[])
    assert (done.record.image_caption, done.record.error) == ("An empty street.", None)

    done, _ = caption(lambda _: "", how, boxes=[])
    assert done.record.error is not None
    assert done.record.error.code == "no-caption"
