"""From rendered records to captions: asks the engine, reads its answers, asks again where needed.

No I/O but the engine's. Each record goes its own way and waits for none of its neighbours; all
requests of all records are in the engine together.
"""

from __future__ import annotations

import asyncio
from collections.abc import Mapping, Sequence
from dataclasses import dataclass, field
from typing import Any

from regioncap import answers, prompts
from regioncap.engines.base import Answer, CaptionRequest, Engine, Prompt, RegionView, Sampling
from regioncap.errors import RequestError
from regioncap.jobs import Job
from regioncap.records import Problem, RenderedRecord, View

#: A region without a usable caption is asked for again alone, this often.
_REASKS = 1


@dataclass(slots=True)
class Captioned:
    """A record and what the engine said of it."""

    record: RenderedRecord
    #: The engine's texts, one per request, as they came.
    texts: list[str] = field(default_factory=list)
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


async def caption_records(
    records: Sequence[RenderedRecord],
    pictures: Mapping[str, bytes],
    engine: Engine,
    job: Job,
) -> list[Captioned]:
    """Captions records; those with an error stay as they are.

    Args:
        records: A shard's records.
        pictures: The JPEG of each view, by its key.
        engine: A started engine.
        job: The job that they belong to.

    Returns:
        In the order given, each record with its regions filled, and its answer.

    Raises:
        EngineDeadError: The engine is gone.
    """
    talks = [_Conversation(record, pictures, engine, job) for record in records]
    return list(await asyncio.gather(*(talk.run() for talk in talks)))


@dataclass(frozen=True, slots=True)
class _Question:
    """One request: some regions of one view."""

    view: View
    numbers: tuple[int, ...]
    prompt: Prompt


class _Conversation:
    """All that is asked about one record."""

    def __init__(
        self, record: RenderedRecord, pictures: Mapping[str, bytes], engine: Engine, job: Job
    ) -> None:
        self._record = record
        self._pictures = pictures
        self._engine = engine
        self._job = job
        self._done = Captioned(record)

    async def run(self) -> Captioned:
        """Asks about all regions, and again about those without a caption."""
        if self._record.error is not None:
            return self._done
        questions = [
            _Question(view, tuple(view.numbers), view.prompt.prompt())
            for view in self._record.views
        ]
        await self._ask(questions)
        for _ in range(_REASKS):
            if questions := self._open_questions():
                await self._ask(questions)
        if all(region.status != "ok" for region in self._record.regions):
            self._record.error = self._no_caption()
        return self._done

    async def _ask(self, questions: Sequence[_Question]) -> None:
        requests = [
            self._request(question, self._done.requests + i) for i, question in enumerate(questions)
        ]
        replies = await self._engine.caption(requests)
        self._done.requests += len(requests)
        for question, reply in zip(questions, replies, strict=True):
            if isinstance(reply, RequestError):
                self._fail(question, reply)
            else:
                self._take(question, reply)

    def _request(self, question: _Question, nth: int) -> CaptionRequest:
        view, settings = question.view, self._job.settings
        boxes = dict(zip(view.numbers, view.boxes_xyxy, strict=True))
        return CaptionRequest(
            request_id=f"{self._job.job}-{self._record.index}-{nth}",
            image=self._pictures[view.key],
            prompt=question.prompt,
            sampling=Sampling(
                settings.temperature, settings.top_p, settings.max_tokens, settings.seed
            ),
            regions=tuple(RegionView(number, boxes[number]) for number in question.numbers),
            mark_style=view.mark_style,
        )

    def _take(self, question: _Question, reply: Answer) -> None:
        done = self._done
        done.texts.append(reply.text)
        done.finish_reason = done.finish_reason or reply.finish_reason
        done.prompt_tokens += reply.prompt_tokens
        done.completion_tokens += reply.completion_tokens
        found = answers.parse(
            reply.text,
            question.numbers,
            finish_reason=reply.finish_reason,
            json=question.prompt.schema is not None,
        )
        for number, answer in found.items():
            region = self._record.regions[number - 1]
            region.status, region.caption, region.why = answer.status, answer.caption, answer.why

    def _fail(self, question: _Question, failure: RequestError) -> None:
        self._done.failure = failure
        for number in question.numbers:
            self._record.regions[number - 1].why = str(failure)

    def _open_questions(self) -> list[_Question]:
        """One question for each region that has no caption yet, about it alone."""
        questions = []
        for view in self._record.views:
            for number, box, colour in zip(
                view.numbers, view.boxes_xyxy, view.colours, strict=True
            ):
                if self._record.regions[number - 1].status in {"missing", "invalid"}:
                    label = prompts.RegionLabel(number, colour, box)
                    prompt = prompts.build(
                        self._job.template, [label], ask="again", size_wh=view.size_wh
                    )
                    questions.append(_Question(view, (number,), prompt))
        return questions

    def _no_caption(self) -> Problem:
        if self._done.failure is not None:
            return Problem.of(self._done.failure, "caption")
        first = next((region for region in self._record.regions if region.why), None)
        why = f"region {first.region}: {first.why}" if first else "the answer is empty"
        message = f"no region has a caption ({why})"
        return Problem(code="no-caption", message=message, stage="caption")
