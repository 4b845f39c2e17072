from __future__ import annotations

import asyncio
from collections.abc import Callable, Sequence
from dataclasses import dataclass, field

import pytest

from regioncap.captioning import Captioned, caption_records
from regioncap.engines.base import Answer, CaptionRequest
from regioncap.errors import EngineDeadError, RequestError
from regioncap.jobs import Job, now
from regioncap.records import Problem, PromptText, Region, RenderedRecord, View
from regioncap.settings import JobSettings

Reply = Answer | RequestError


@dataclass
class ScriptedEngine:
    """Answers by a function of the request, and remembers what it was asked."""

    reply: Callable[[CaptionRequest], Reply]
    name: str = "scripted"
    model: str = "none"
    asked: list[CaptionRequest] = field(default_factory=list)

    async def start(self) -> None: ...

    async def caption(self, requests: Sequence[CaptionRequest]) -> list[Reply]:
        self.asked += requests
        await asyncio.sleep(0)
        return [self.reply(request) for request in requests]

    async def health(self) -> None: ...

    async def close(self) -> None: ...


def job() -> Job:
    return Job(
        job="20260101-000000-aaaaaa", created=now(), records=1, shards=1, settings=JobSettings()
    )


def record(index: int = 0, regions: int = 2) -> RenderedRecord:
    numbers = list(range(1, regions + 1))
    return RenderedRecord(
        index=index,
        line=index + 1,
        regions=[Region(region=n, bbox=(n, n, 5, 5)) for n in numbers],
        views=[
            View(
                key=f"{index}.jpg",
                size_wh=(56, 56),
                numbers=numbers,
                boxes_xyxy=[(n, n, n + 5, n + 5) for n in numbers],
                colours=["red"] * regions,
                prompt=PromptText(before="Describe."),
                mark_style="v1",
            )
        ],
    )


def caption(engine: ScriptedEngine, *records: RenderedRecord) -> list[Captioned]:
    pictures = {view.key: b"jpeg" for each in records for view in each.views}
    return asyncio.run(caption_records(records, pictures, engine, job()))


def all_regions(request: CaptionRequest) -> Answer:
    lines = [f"In <region{r.number}>, thing {r.number} of {request.request_id}."
             for r in request.regions]  # fmt: skip
    return Answer("\n".join(lines), prompt_tokens=10, completion_tokens=3)


def test_every_region_gets_its_own_caption() -> None:
    engine = ScriptedEngine(all_regions)

    done = caption(engine, record(0), record(1, regions=1))

    assert [[region.status for region in d.record.regions] for d in done] == [["ok"] * 2, ["ok"]]
    for d in done:
        for region in d.record.regions:
            assert region.caption is not None
            assert f"hing {region.region} of 20260101-000000-aaaaaa-{d.record.index}-" in (
                region.caption
            )
    assert (done[0].prompt_tokens, done[0].completion_tokens, done[0].requests) == (10, 3, 1)


def test_a_region_left_out_is_asked_for_again_alone() -> None:
    def reply(request: CaptionRequest) -> Answer:
        if len(request.regions) > 1:
            return Answer("In <region1>, a cat.", prompt_tokens=10, completion_tokens=3)
        return Answer("In <region2>, a dog.", prompt_tokens=8, completion_tokens=2)

    engine = ScriptedEngine(reply)
    [done] = caption(engine, record())

    assert [region.caption for region in done.record.regions] == ["A cat.", "A dog."]
    assert [[r.number for r in request.regions] for request in engine.asked] == [[1, 2], [2]]
    assert done.texts == ["In <region1>, a cat.", "In <region2>, a dog."]
    assert (done.prompt_tokens, done.completion_tokens, done.requests) == (18, 5, 2)
    assert len({request.request_id for request in engine.asked}) == 2


def test_what_stays_missing_is_an_error_of_that_region_alone() -> None:
    engine = ScriptedEngine(lambda _: Answer("In <region1>, a cat."))

    [done] = caption(engine, record())

    assert done.record.error is None
    assert [region.status for region in done.record.regions] == ["ok", "missing"]
    assert done.record.regions[1].why


def test_no_caption_at_all_is_an_error_record() -> None:
    [done] = caption(ScriptedEngine(lambda _: Answer("")), record())

    assert done.record.error is not None
    assert (done.record.error.code, done.record.error.stage) == ("no-caption", "caption")


def test_a_failed_request_spares_the_neighbours() -> None:
    def reply(request: CaptionRequest) -> Reply:
        if request.request_id.startswith("20260101-000000-aaaaaa-1-"):
            return RequestError("too long", code="engine-too-long", hint="shorten it")
        return all_regions(request)

    first, second, third = caption(ScriptedEngine(reply), record(0), record(1), record(2))

    assert first.record.error is third.record.error is None
    assert second.record.error == Problem(
        code="engine-too-long", message="too long (shorten it)", stage="caption"
    )
    assert [region.why for region in second.record.regions] == ["too long (shorten it)"] * 2


def test_an_error_record_is_passed_on_unasked() -> None:
    broken = RenderedRecord(
        index=0, line=1, error=Problem(code="image-missing", message="gone", stage="submit")
    )
    engine = ScriptedEngine(all_regions)

    [done] = caption(engine, broken)

    assert done.record is broken
    assert engine.asked == []


def test_a_dead_engine_ends_the_shard() -> None:
    def reply(_: CaptionRequest) -> Answer:
        raise EngineDeadError("gone")

    with pytest.raises(EngineDeadError):
        caption(ScriptedEngine(reply), record(0), record(1))
