"""What every engine promises its callers. An engine joins by a line in `ENGINES`."""

from __future__ import annotations

import asyncio
import io
from collections.abc import Callable, Coroutine, Iterator
from typing import get_args

import pytest
from PIL import Image

from regioncap.engines.base import Answer, CaptionRequest, Engine, Sampling
from regioncap.engines.baseline import BaselineEngine
from regioncap.errors import RequestError
from regioncap.records import Prompt, RegionInView
from regioncap.settings import EngineName
from tests.support.chat_server import Behaviour, serve_chat

_addresses: list[str] = []


@pytest.fixture(scope="module", autouse=True)
def _chat_server() -> Iterator[None]:
    with serve_chat(Behaviour()) as address:
        _addresses.append(address)
        yield


def _openai() -> Engine:
    from regioncap.engines.openai import OpenAIEngine  # a second of imports

    return OpenAIEngine("tiny", base_url=_addresses[-1])


ENGINES: dict[str, Callable[[], Engine]] = {
    "baseline": BaselineEngine,
    "openai": _openai,
}

#: Held to the same by tests of its own, which need the real vLLM.
ELSEWHERE = {"vllm"}

engines = pytest.mark.parametrize("make", ENGINES.values(), ids=ENGINES)
Use = Callable[[Engine], Coroutine[None, None, None]]


def test_every_engine_is_held_to_this() -> None:
    assert set(ENGINES) | ELSEWHERE == set(get_args(EngineName))


def jpeg(rgb: tuple[int, int, int]) -> bytes:
    buffer = io.BytesIO()
    Image.new("RGB", (160, 120), rgb).save(buffer, "JPEG", quality=92)
    return buffer.getvalue()


def request(number: int, image: bytes | None = None) -> CaptionRequest:
    """A request whose answer can be told from others: it asks for region `number`."""
    return CaptionRequest(
        request_id=f"r{number}",
        image=image or jpeg((number % 200, 90, 40)),
        prompt=Prompt(after=f"Describe the content of <region{number}>."),
        sampling=Sampling(temperature=0.0, max_tokens=64),
        regions=(RegionInView(number, (10, 10, 90, 90)),),
    )


def run(make: Callable[[], Engine], use: Use) -> None:
    """Starts an engine, uses it and closes it, all on one event loop."""

    async def session() -> None:
        engine = make()
        await engine.start()
        try:
            await use(engine)
        finally:
            await engine.close()

    asyncio.run(session())


def assert_answers(answers: list[Answer | RequestError], numbers: list[int]) -> None:
    assert len(answers) == len(numbers)
    for answer, number in zip(answers, numbers, strict=True):
        assert isinstance(answer, Answer), answer
        assert f"<region{number}>" in answer.text
        assert answer.finish_reason in {"stop", "length"}
        assert answer.completion_tokens > 0


@engines
def test_has_a_name_and_a_model(make: Callable[[], Engine]) -> None:
    engine = make()
    assert isinstance(engine, Engine)
    assert engine.name
    assert engine.model


@engines
def test_answers_in_the_order_given(make: Callable[[], Engine]) -> None:
    async def use(engine: Engine) -> None:
        numbers = [3, 1, 2, 9, 4]
        assert_answers(await engine.caption([request(n) for n in numbers]), numbers)

    run(make, use)


@engines
def test_answers_nothing_to_nothing(make: Callable[[], Engine]) -> None:
    async def use(engine: Engine) -> None:
        assert await engine.caption([]) == []

    run(make, use)


@engines
def test_serves_many_callers_at_once(make: Callable[[], Engine]) -> None:
    async def use(engine: Engine) -> None:
        shards = [list(range(start, start + 8)) for start in range(1, 161, 8)]
        answers = await asyncio.gather(
            *(engine.caption([request(n) for n in shard]) for shard in shards)
        )
        for got, numbers in zip(answers, shards, strict=True):
            assert_answers(got, numbers)

    run(make, use)


@engines
@pytest.mark.parametrize("bad", [b"", b"not a picture", jpeg((9, 9, 9))[:300]])
def test_a_bad_picture_fails_alone(make: Callable[[], Engine], bad: bytes) -> None:
    async def use(engine: Engine) -> None:
        broken = CaptionRequest("bad", bad, Prompt(), Sampling(), request(2).regions)
        first, middle, last = await engine.caption([request(1), broken, request(3)])
        assert_answers([first, last], [1, 3])
        assert isinstance(middle, RequestError)
        assert middle.message
        await engine.health()

    run(make, use)


@engines
def test_a_cancelled_call_leaves_the_engine_usable(make: Callable[[], Engine]) -> None:
    async def use(engine: Engine) -> None:
        call = asyncio.create_task(engine.caption([request(n) for n in range(1, 200)]))
        await asyncio.sleep(0)  # lets the call begin
        call.cancel()
        with pytest.raises(asyncio.CancelledError):
            await call
        await engine.health()
        assert_answers(await engine.caption([request(5)]), [5])

    run(make, use)


@engines
def test_closes_twice(make: Callable[[], Engine]) -> None:
    async def use(engine: Engine) -> None:
        await engine.close()

    run(make, use)


@engines
def test_closes_without_a_start(make: Callable[[], Engine]) -> None:
    asyncio.run(make().close())
