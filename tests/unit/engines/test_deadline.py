"""How long a request may take, and what becomes of one that does not come back."""

from __future__ import annotations

import asyncio

import pytest

from regioncap.engines.base import Answer, CaptionRequest, Sampling
from regioncap.engines.deadline import Deadline
from regioncap.errors import EngineDeadError, RequestError
from regioncap.records import Prompt


def request(name: str, max_tokens: int = 16) -> CaptionRequest:
    return CaptionRequest(name, b"", Prompt(before="Look."), Sampling(max_tokens=max_tokens))


async def at_once(_: CaptionRequest) -> Answer:
    return Answer("well", completion_tokens=8)


def test_the_limit_follows_from_what_others_took() -> None:
    now_s = 0.0
    deadline = Deadline(least_s=30.0, unknown_s=600.0, clock=lambda: now_s)
    limits = [deadline.limit_s(512)]

    async def in_four_seconds(asked: CaptionRequest) -> Answer:
        nonlocal now_s
        now_s += 4.0
        return await at_once(asked)

    asyncio.run(deadline.answer(request("a"), in_four_seconds))
    limits += [deadline.limit_s(512), deadline.limit_s(4)]

    assert limits == [600.0, 10 * 0.5 * 512, 30.0]


def test_who_hangs_beside_others_is_asked_again_and_then_an_error() -> None:
    deadline, asked = Deadline(least_s=0.05, unknown_s=0.05), 0

    async def hangs(_: CaptionRequest) -> Answer:
        nonlocal asked
        asked += 1
        await asyncio.sleep(60)
        return Answer("never")

    async def others() -> None:
        while True:
            await deadline.answer(request("other"), at_once)
            await asyncio.sleep(0.005)

    async def run() -> Answer | RequestError:
        beside = asyncio.create_task(others())
        answer = await deadline.answer(request("bad"), hangs)
        beside.cancel()
        return answer

    answer = asyncio.run(run())

    assert isinstance(answer, RequestError)
    assert (answer.code, asked) == ("engine-timeout", 2)
    assert "bad" in answer.message


def test_an_engine_that_answers_nobody_is_dead() -> None:
    deadline = Deadline(least_s=0.02, unknown_s=0.02)

    async def hangs(_: CaptionRequest) -> Answer:
        await asyncio.sleep(60)
        return Answer("never")

    with pytest.raises(EngineDeadError, match="no request"):
        asyncio.run(deadline.answer(request("a"), hangs))
