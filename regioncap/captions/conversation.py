"""From rendered records to captions: asks the engine, reads its answers, asks again where needed.

A picture may be captioned as a whole, too, without marks and by a question of its own.

A region that an answer leaves out or spoils is asked for again twice at most, alone each time:
first in the same picture, which an engine with a prefix cache knows already, and last by a crop of
it, in which it cannot be mistaken for another.

No I/O but the engine's and the caller's. Each record goes its own way and waits for none of its
neighbours; all requests of all records are in the engine together, and its loop is kept free.
"""

from __future__ import annotations

import asyncio
from collections.abc import Callable, Mapping, Sequence, Set
from contextlib import suppress
from dataclasses import dataclass, field, replace
from functools import partial
from typing import Any

from regioncap.captions import answers, attributes, verification
from regioncap.captions.answers import RegionAnswer
from regioncap.engines.base import Answer, CaptionRequest, Engine, Sampling, side_by_side
from regioncap.errors import RecordError, RequestError
from regioncap.records import (
    EngineAnswer,
    Problem,
    Prompt,
    Region,
    RegionInView,
    RenderedRecord,
    View,
    Way,
)
from regioncap.views.region_schema import RegionSchema
from regioncap.views.view import Shown, ViewSettings

#: Makes a crop of each of some regions of a record; blocks, and may raise RecordError.
CropMaker = Callable[[RenderedRecord, Sequence[Region]], list[Shown]]


#: Stands for the picture as a whole where an answer is read, since regions count from 1.
_WHOLE = 1


@dataclass(slots=True)
class Captioned:
    """A record and what the engine said of it."""

    record: RenderedRecord
    #: What the engine wrote, one per request that it answered, as it came.
    answers: list[EngineAnswer] = field(default_factory=list)
    #: Why the first text ended.
    finish_reason: str | None = None
    prompt_tokens: int = 0
    completion_tokens: int = 0
    requests: int = 0
    #: Time of GPUs that the record took, its share of what was in the engine with it.
    gpu_ms: int = 0
    #: The earlier record that the captions were taken over from: its job and index.
    reused: dict[str, Any] | None = None
    #: The last request that failed on its own.
    failure: RequestError | None = None

    def after(self, before: Captioned) -> Captioned:
        """This, with what was asked and spent in vain before it."""
        return replace(
            self,
            answers=before.answers + self.answers,
            prompt_tokens=before.prompt_tokens + self.prompt_tokens,
            completion_tokens=before.completion_tokens + self.completion_tokens,
            requests=before.requests + self.requests,
            gpu_ms=before.gpu_ms + self.gpu_ms,
        )


async def caption_records(
    records: Sequence[RenderedRecord],
    pictures: Mapping[str, bytes],
    engine: Engine,
    how: ViewSettings,
    crop: CropMaker,
    *,
    on_answer: Callable[[], None] = lambda: None,
    on_record: Callable[[Captioned], None] = lambda captioned: None,
) -> list[Captioned]:
    """Captions records; those with an error stay as they are.

    Args:
        records: A shard's records.
        pictures: The JPEG of each view, by its key.
        engine: A started engine.
        how: How their regions are shown, and what is asked.
        crop: Called in a thread for the regions that are still open in the end.
        on_answer: Called whenever the engine has answered something.
        on_record: Told of each record that is done, on the engine's loop.

    Returns:
        In the order given, each record with its regions filled, and its answer.

    Raises:
        EngineDeadError: The engine is gone.
        EngineAwayError: It is elsewhere, and does not serve at present.
        ServiceError: As the crop maker's.
    """
    done = [Captioned(record) for record in records]

    async def talk(each: Captioned) -> None:
        await _Conversation(each, pictures, engine, how, crop, on_answer).run()
        on_record(each)

    await side_by_side(map(talk, done))
    return done


async def verify_records(
    records: Sequence[RenderedRecord],
    pictures: Mapping[str, bytes],
    engine: Engine,
    how: ViewSettings,
    crop: CropMaker,
    *,
    retries: Set[int] = frozenset(),
    on_answer: Callable[[], None] = lambda: None,
) -> list[Captioned]:
    """Asks the captions of records back that have theirs; as `caption_records` else.

    Args:
        records: Records with their captions.
        pictures: The JPEG of each view, by its key.
        engine: A started engine.
        how: How their regions are shown.
        crop: Called in a thread for regions that are asked for again.
        retries: Places of those records whose captions are asked for again where the engine
            disagrees.
        on_answer: Called whenever the engine has answered something.
    """
    done = [Captioned(record) for record in records]
    talks = (_Conversation(each, pictures, engine, how, crop, on_answer) for each in done)
    await side_by_side(talk.verify(retries=talk.record.index in retries) for talk in talks)
    return done


@dataclass(frozen=True, slots=True)
class _Question:
    """One request: some regions of one view."""

    view: View
    picture: bytes
    regions: tuple[RegionInView, ...]
    prompt: Prompt
    #: How often the regions have been asked for before.
    attempt: int


def _question(view: View, picture: bytes, attempt: int = 0) -> _Question:
    """About all regions of a view, or the picture as a whole if it has none."""
    return _Question(view, picture, tuple(view.regions), view.prompt, attempt)


def _read(
    schema: RegionSchema | None, question: _Question, reply: Answer | RequestError
) -> dict[int, RegionAnswer]:
    """What a reply says of the regions asked for; nothing if it is an error."""
    if isinstance(reply, RequestError):
        return {}
    if schema is not None and question.regions:
        numbers = [shown.number for shown in question.regions]
        return attributes.parse(reply.text, numbers, schema, finish_reason=reply.finish_reason)
    return answers.parse(
        reply.text,
        [shown.number for shown in question.regions] or [_WHOLE],
        finish_reason=reply.finish_reason,
        json=question.prompt.answer_schema is not None,
    )


@dataclass(slots=True)
class _Conversation:
    """All that is asked about one record."""

    done: Captioned
    pictures: Mapping[str, bytes]
    engine: Engine
    how: ViewSettings
    crop: CropMaker
    on_answer: Callable[[], None]

    @property
    def record(self) -> RenderedRecord:
        return self.done.record

    async def run(self) -> None:
        """Asks about all regions, and again about those without a caption."""
        if self.record.error is not None:
            return
        views = self.record.all_views
        await self._ask([_question(view, self.pictures[view.key]) for view in views])
        again = [self._once_more(view, region) for view, region in self._open("marks")]
        await self._ask(again + self._whole_once_more())
        await self._ask(await self._by_crop())
        if self.how.settings.verify != "no":
            await self.verify(retries=self.how.settings.verify == "retry")
        asked = [region for region in self.record.regions if region.is_asked_for]
        if (asked or self.record.whole) and not self._has_caption(asked):
            self.record.error = self._no_caption()

    def _has_caption(self, asked: Sequence[Region]) -> bool:
        """Whether a region has a caption; or, where none was asked for, the whole picture."""
        if asked:
            return any(region.status == "ok" for region in asked)
        return self.record.image_caption is not None

    async def verify(self, *, retries: bool) -> None:
        """Asks the captions back, and with `retries` for another one where that disagrees.

        The other one is taken if it is found true; else the first stays as it is.
        """
        captioned = [region for region in self.record.regions if region.caption is not None]
        await self._ask_back([(region, region.caption or "") for region in captioned])
        wrong = [region for region in captioned if region.verified is False]
        if not retries or not wrong:
            return
        first = {region.region: region.model_copy() for region in wrong}
        await self._ask(await self._crops_of(wrong))
        again = [r for r in wrong if r.caption and r.caption != first[r.region].caption]
        await self._ask_back([(region, region.caption or "") for region in again])
        for region in wrong:
            if region not in again or not region.verified:
                for name, value in first[region.region]:
                    setattr(region, name, value)

    async def _ask_back(self, claims: Sequence[tuple[Region, str]]) -> None:
        verdicts, cost = await verification.verify(
            self.record,
            [verification.Claim(region.region, caption) for region, caption in claims],
            self.pictures,
            self.engine,
            self.how,
            first_request=self.done.requests,
        )
        self.on_answer()
        self.done.requests += cost.requests
        self.done.prompt_tokens += cost.prompt_tokens
        self.done.completion_tokens += cost.completion_tokens
        for (region, _), verdict in zip(claims, verdicts, strict=True):
            region.verified, region.verified_as = verdict.verified, verdict.verified_as

    async def _crops_of(self, regions: Sequence[Region]) -> list[_Question]:
        """About each of some regions, by a crop of it."""
        numbers = {region.region for region in regions}
        shown = [
            (view, self.pictures[view.key])
            for view in self.record.views
            if view.way == "crop" and view.regions[0].number in numbers
        ]
        cropped = {view.regions[0].number for view, _ in shown}
        if wanted := [region for region in regions if region.region not in cropped]:
            # The source may have gone since; then the first captions stay.
            with suppress(RecordError):
                shown += await asyncio.to_thread(self.crop, self.record, wanted)
        return [_question(view, picture, attempt=3) for view, picture in shown]

    async def _ask(self, questions: Sequence[_Question]) -> None:
        if not questions:
            return
        numbered = enumerate(questions, self.done.requests)
        requests = [self._request(question, nth) for nth, question in numbered]
        replies = await self.engine.caption(requests)
        self.on_answer()
        self.done.requests += len(requests)
        # A long answer takes a while to read, and the engine's loop waits for nobody.
        read = await asyncio.to_thread(
            list, map(partial(_read, self.how.schema), questions, replies)
        )
        for question, reply, found in zip(questions, replies, read, strict=True):
            if isinstance(reply, RequestError):
                self._fail(question, reply)
            else:
                self._take(question, reply, found)

    def _request(self, question: _Question, nth: int) -> CaptionRequest:
        settings = self.how.settings
        return CaptionRequest(
            request_id=f"{self.how.name}-{self.record.index}-{nth}",
            image=question.picture,
            prompt=question.prompt,
            # The same seed would give the same words again.
            sampling=Sampling(
                settings.temperature,
                settings.top_p,
                settings.max_tokens,
                None if settings.seed is None else settings.seed + question.attempt,
            ),
            regions=question.regions,
            mark_style=question.view.mark_style,
        )

    def _take(self, question: _Question, reply: Answer, found: Mapping[int, RegionAnswer]) -> None:
        done = self.done
        asked = [shown.number for shown in question.regions]
        said = EngineAnswer(text=reply.text, finish_reason=reply.finish_reason, regions=asked)
        done.answers.append(said)
        done.finish_reason = done.finish_reason or reply.finish_reason
        done.prompt_tokens += reply.prompt_tokens
        done.completion_tokens += reply.completion_tokens
        if not asked:
            self.record.image_caption = found[_WHOLE].caption
            return
        for number, answer in found.items():
            region = self.record.region(number)
            region.status, region.caption, region.why = answer.status, answer.caption, answer.why
            region.attributes = answer.attributes
            region.view = question.view.way

    def _fail(self, question: _Question, failure: RequestError) -> None:
        self.done.failure = failure
        for shown in question.regions:
            region = self.record.region(shown.number)
            region.why, region.view = str(failure), question.view.way

    def _open(self, way: Way) -> list[tuple[View, RegionInView]]:
        """Regions without a caption that the first questions showed in this way."""
        return [
            (view, shown)
            for view in self.record.views
            for shown in view.regions
            if view.way == way and self.record.region(shown.number).status in {"missing", "invalid"}
        ]

    def _once_more(self, view: View, region: RegionInView) -> _Question:
        """About one region of a marked picture, on its own."""
        prompt = self.how.prompt([region], ask="again", size_wh=view.size_wh)
        return _Question(view, self.pictures[view.key], (region,), prompt, attempt=1)

    def _whole_once_more(self) -> list[_Question]:
        """About the picture as a whole, if that has no caption yet."""
        whole = self.record.whole
        if whole is None or self.record.image_caption is not None:
            return []
        return [_question(whole, self.pictures[whole.key], attempt=1)]

    async def _by_crop(self) -> list[_Question]:
        """About each region that is still open, by a crop of it."""
        shown = [(view, self.pictures[view.key]) for view, _ in self._open("crop")]
        if wanted := [self.record.region(region.number) for _, region in self._open("marks")]:
            # The source may have gone since; then what is known of these regions stays.
            with suppress(RecordError):
                shown += await asyncio.to_thread(self.crop, self.record, wanted)
        return [_question(view, picture, attempt=2) for view, picture in shown]

    def _no_caption(self) -> Problem:
        if self.done.failure is not None:
            return Problem.of(self.done.failure, "caption")
        first = next((region for region in self.record.regions if region.why), None)
        why = f"region {first.region}: {first.why}" if first else "the answer is empty"
        message = f"no region has a caption ({why})"
        return Problem(code="no-caption", message=message, stage="caption")
