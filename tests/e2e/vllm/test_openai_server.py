"""The openai engine against vLLM's own server."""

from __future__ import annotations

import json
from collections.abc import Iterator
from dataclasses import replace

import pytest

from regioncap.engines.base import Answer
from regioncap.engines.openai import OpenAIEngine
from regioncap.engines.thread import EngineThread
from regioncap.errors import EngineAwayError, RequestError
from regioncap.records import Prompt
from tests.e2e.vllm.conftest import Ask
from tests.e2e.vllm.test_requests import SCHEMA
from tests.support.scenes import question
from tests.support.vllm_server import serve_engine

KEY = "sk-of-this-test"


@pytest.fixture(scope="module")
def address(engine_thread: EngineThread) -> Iterator[str]:
    with serve_engine(engine_thread, "tiny", KEY) as address:
        yield address


def connected(address: str) -> EngineThread:
    thread = EngineThread(OpenAIEngine("", base_url=address, api_key=KEY, max_retries=1))
    thread.start()
    return thread


@pytest.fixture(scope="module")
def remote(address: str) -> Iterator[EngineThread]:
    thread = connected(address)
    yield thread
    thread.close()


def test_answers_as_the_engine_in_process_does(remote: EngineThread, ask: Ask) -> None:
    questions = [question(number) for number in range(12)]
    theirs = remote.run(remote.engine.caption(questions)).result(120)
    for here, there in zip(ask(questions), theirs, strict=True):
        assert isinstance(here, Answer)
        assert there == replace(here, details={})
    assert len({answer.text for answer in theirs if isinstance(answer, Answer)}) == len(questions)
    assert remote.engine.model == "tiny"


def test_answers_in_json(remote: EngineThread) -> None:
    asked = [question(number) for number in range(4)]
    asked = [
        replace(
            q,
            prompt=replace(q.prompt, answer_schema=SCHEMA),
            sampling=replace(q.sampling, max_tokens=200),
        )
        for q in asked
    ]
    for answer in remote.run(remote.engine.caption(asked)).result(120):
        assert isinstance(answer, Answer)
        if answer.finish_reason == "stop":
            assert set(json.loads(answer.text, strict=False)) == {"region1", "region2"}


def test_a_prompt_that_is_too_long_is_an_error_of_its_own(remote: EngineThread) -> None:
    too_long = replace(question(1), prompt=Prompt(before="long " * 6000))
    good, bad = remote.run(remote.engine.caption([question(0), too_long])).result(120)
    assert isinstance(good, Answer)
    assert isinstance(bad, RequestError)
    assert "4096" in bad.message


def test_a_server_that_is_stopped_is_away(engine_thread: EngineThread) -> None:
    with serve_engine(engine_thread, "tiny", KEY) as address:
        remote = connected(address)
    try:
        with pytest.raises(EngineAwayError):
            remote.run(remote.engine.caption([question(0)])).result(60)
    finally:
        remote.close()
