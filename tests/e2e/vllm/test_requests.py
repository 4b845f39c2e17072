"""A request that fails is that record's alone; a cancelled one leaves the engine."""

from __future__ import annotations

import asyncio
import json
import re
from dataclasses import replace
from threading import Lock
from typing import TYPE_CHECKING, Any

import pytest
from PIL import Image
from prometheus_client import CollectorRegistry, generate_latest

from regioncap.engines import vllm
from regioncap.engines.base import Answer, CaptionRequest, Sampling
from regioncap.engines.thread import EngineThread
from regioncap.engines.vllm import VllmEngine
from regioncap.errors import RequestError
from regioncap.records import Prompt
from tests.e2e.vllm.conftest import Ask
from tests.support.scenes import endless, question, scene
from workers.exporter import Foreign

if TYPE_CHECKING:
    from vllm.v1.engine.async_llm import AsyncLLM

SCHEMA = {
    "type": "object",
    "properties": {f"region{n}": {"type": "string", "maxLength": 12} for n in (1, 2)},
    "required": ["region1", "region2"],
    "additionalProperties": False,
}


@pytest.mark.parametrize(
    ("fields", "code", "words"),
    [
        ({"prompt": Prompt(before="long " * 6000)}, "prompt-too-long", "4096"),
        ({"image": b"no picture"}, "image-undecodable", "cannot identify image"),
        ({"image": scene(1)[:400]}, "image-undecodable", "Truncated"),
        ({"sampling": Sampling(temperature=0.7, seed=1)}, "seed-unsupported", "seed"),
        ({"sampling": Sampling(temperature=-1.0)}, "engine-request", "temperature"),
        (
            {"prompt": Prompt(before="Hi.", answer_schema={"type": "no such type"})},
            "engine-request",
            "no such type",
        ),
    ],
)
def test_a_bad_request_is_an_error_of_its_own(
    ask: Ask, fields: dict[str, object], code: str, words: str
) -> None:
    bad = replace(question(1), **fields)  # type: ignore[arg-type]
    before, error, after = ask([question(0), bad, question(2)])
    assert isinstance(error, RequestError)
    assert (error.code, words in error.message) == (code, True), error.message
    assert isinstance(before, Answer)
    assert isinstance(after, Answer)


def test_a_seed_means_nothing_to_greedy_decoding(ask: Ask) -> None:
    seeded = question(3, Sampling(temperature=0.0, max_tokens=8, seed=7))
    first, second = ask([seeded, question(3, Sampling(temperature=0.0, max_tokens=8))])
    assert isinstance(first, Answer)
    assert isinstance(second, Answer)
    assert first.text == second.text


def test_json_is_whole_or_ends_by_length(ask: Ask) -> None:
    noise = Sampling(temperature=1.0, top_p=1.0, max_tokens=120)
    requests = [
        replace(q, prompt=replace(q.prompt, answer_schema=SCHEMA))
        for q in (question(number, noise, "json") for number in range(24))
    ]
    short = [replace(q, sampling=replace(q.sampling, max_tokens=6)) for q in requests[:4]]
    whole = 0
    for answer in ask(requests + short):
        assert isinstance(answer, Answer)
        if answer.finish_reason == "stop":
            # Not strict: the grammar of a string with a length lets control characters through.
            assert set(json.loads(answer.text, strict=False)) == {"region1", "region2"}
            whole += 1
        else:
            assert answer.finish_reason == "length"
            with pytest.raises(json.JSONDecodeError):
                json.loads(answer.text, strict=False)
    assert whole >= len(requests) / 2


def test_pictures_are_decoded_as_the_engine_gets_to_them(
    ask: Ask, monkeypatch: pytest.MonkeyPatch
) -> None:
    """Decoded pictures of a whole batch would take gigabytes, and hold up the first of it."""
    lock = Lock()
    seen: list[int] = []
    in_hand = 0
    decode, render = vllm._decode, vllm._render

    def counting(request_id: str, data: bytes) -> Image.Image:
        nonlocal in_hand
        with lock:
            in_hand += 1
            seen.append(in_hand)
        return decode(request_id, data)

    def counted(llm: AsyncLLM, request: CaptionRequest) -> Any:
        nonlocal in_hand
        rendered = render(llm, request)
        with lock:
            in_hand -= 1
        return rendered

    monkeypatch.setattr(vllm, "_decode", counting)
    monkeypatch.setattr(vllm, "_render", counted)
    assert all(isinstance(answer, Answer) for answer in ask([question(n) for n in range(60)]))
    assert (len(seen), in_hand) == (60, 0)
    # The shared engine has four threads, which work side by side.
    assert 2 <= max(seen) <= 4


def test_a_cancelled_call_takes_its_requests_out(
    engine_thread: EngineThread, engine: VllmEngine, ask: Ask
) -> None:
    long_ones = [endless(number) for number in range(16)]

    async def cancel_when_running() -> None:
        call = asyncio.ensure_future(engine.caption(long_ones))
        while engine.stats().running < len(long_ones):
            await asyncio.sleep(0.01)
        call.cancel()
        with pytest.raises(asyncio.CancelledError):
            await call

    engine_thread.run(cancel_when_running()).result(120)
    # The counts come with an answer, so ask for one.
    ask([question(5)])
    assert (engine.stats().running, engine.stats().waiting) == (0, 0)


def test_a_long_answer_holds_nobody_up(
    engine_thread: EngineThread, engine: VllmEngine, ask: Ask
) -> None:
    long_one = engine_thread.run(engine.caption([endless(1)]))
    assert all(isinstance(answer, Answer) for answer in ask([question(n) for n in range(8)]))
    assert not long_one.done()
    long_one.cancel()


@pytest.mark.parametrize("limit", ["max_num_queued_reqs", "max_num_queued_tokens"])
def test_a_full_engine_is_waited_for(
    engine: VllmEngine, ask: Ask, limit: str, monkeypatch: pytest.MonkeyPatch
) -> None:
    assert engine._llm is not None
    limits = engine._llm.vllm_config.scheduler_config
    if not hasattr(limits, limit):
        pytest.skip("this vLLM lets everything in")
    monkeypatch.setattr(limits, limit, 2)

    answers = ask([question(n) for n in range(12)])

    assert all(isinstance(answer, Answer) for answer in answers)


def test_an_engine_that_lets_nothing_in_says_so(
    engine: VllmEngine, ask: Ask, monkeypatch: pytest.MonkeyPatch
) -> None:
    assert engine._llm is not None
    limits = engine._llm.vllm_config.scheduler_config
    if not hasattr(limits, "max_num_queued_reqs"):
        pytest.skip("this vLLM lets everything in")
    monkeypatch.setattr(limits, "max_num_queued_reqs", 0)
    monkeypatch.setattr("regioncap.engines.vllm._FULL_S", 0.5)

    (answer,) = ask([question(0)])

    assert isinstance(answer, RequestError)
    assert "max_num_queued_reqs" in answer.hint


def test_is_healthy(engine_thread: EngineThread, engine: VllmEngine) -> None:
    engine_thread.run(engine.health()).result(10)


def test_its_own_metrics_are_passed_on(ask: Ask) -> None:
    ask([question(0)])
    registry = CollectorRegistry()
    registry.register(Foreign(("vllm:",)))
    told = generate_latest(registry).decode()
    for name in ("prompt_tokens_total", "generation_tokens_total", "request_success_total"):
        assert re.search(rf"^vllm:{name}{{.*}} [1-9]", told, re.M), name


def test_names_the_version_of_the_files(engine: VllmEngine) -> None:
    assert engine.model_revision.startswith("sha256:")
