"""The openai engine against vLLM's own server."""

from __future__ import annotations

import json
import os
import socket
import subprocess
import sys
import time
import urllib.error
import urllib.request
from collections.abc import Iterator
from dataclasses import replace
from pathlib import Path

import pytest

from regioncap.engines.base import Answer
from regioncap.engines.openai import OpenAIEngine
from regioncap.engines.thread import EngineThread
from regioncap.errors import EngineDeadError, RequestError
from regioncap.records import Prompt
from tests.e2e.vllm.conftest import ENGINE_ARGS, Ask
from tests.e2e.vllm.test_requests import SCHEMA
from tests.support.scenes import question

KEY = "sk-of-this-test"
START_TIMEOUT_S = 300.0


@pytest.fixture(scope="module")
def server(
    tiny_model: Path, tmp_path_factory: pytest.TempPathFactory
) -> Iterator[tuple[subprocess.Popen[bytes], str]]:
    with socket.socket() as chosen:
        chosen.bind(("127.0.0.1", 0))
        port = chosen.getsockname()[1]
    log_path = tmp_path_factory.mktemp("server") / "log"
    arguments = ["--host", "127.0.0.1", "--port", str(port), "--served-model-name", "tiny"]
    for name, value in ENGINE_ARGS.items():
        flag = "--" + name.replace("_", "-")
        arguments += [flag] if value is True else [flag, str(value)]
    with log_path.open("wb") as log:
        process = subprocess.Popen(
            [
                sys.executable, "-m", "vllm.entrypoints.openai.api_server",
                "--model", str(tiny_model), "--api-key", KEY, *arguments,
            ],
            stdout=log,
            stderr=log,
            env=os.environ,
        )  # fmt: skip
    address = f"http://127.0.0.1:{port}"
    _wait_until_up(process, address + "/health", log_path)
    yield process, address + "/v1"
    process.terminate()
    process.wait()


@pytest.fixture(scope="module")
def remote(server: tuple[subprocess.Popen[bytes], str]) -> Iterator[EngineThread]:
    thread = EngineThread(OpenAIEngine("", base_url=server[1], api_key=KEY, max_retries=1))
    thread.start()
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


def test_a_server_that_is_stopped_is_dead(
    server: tuple[subprocess.Popen[bytes], str], remote: EngineThread
) -> None:
    server[0].terminate()
    server[0].wait()
    with pytest.raises(EngineDeadError):
        remote.run(remote.engine.caption([question(0)])).result(60)


def _wait_until_up(process: subprocess.Popen[bytes], url: str, log: Path) -> None:
    deadline = time.monotonic() + START_TIMEOUT_S
    while True:
        try:
            with urllib.request.urlopen(url, timeout=5):
                return
        except (urllib.error.URLError, OSError):
            gone = process.poll() is not None or time.monotonic() > deadline
            assert not gone, log.read_text()[-3000:]
            time.sleep(0.5)
