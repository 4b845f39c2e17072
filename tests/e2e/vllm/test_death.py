"""An engine on a checkpoint with an old config.json; in the end its core is killed."""

from __future__ import annotations

import json
import os
import signal
from collections.abc import Iterator
from pathlib import Path

import psutil
import pytest

from regioncap.engines.base import Answer, Sampling
from regioncap.engines.thread import EngineThread
from regioncap.engines.vllm import VllmEngine
from regioncap.errors import EngineDeadError
from tests.e2e.vllm.conftest import ENGINE_ARGS, Ask
from tests.support.scenes import question
from tests.support.tiny_qwen import with_old_config


@pytest.fixture(scope="module")
def old_folder(tiny_model: Path, tmp_path_factory: pytest.TempPathFactory) -> Path:
    return with_old_config(tiny_model, tmp_path_factory.mktemp("models") / "any name at all")


@pytest.fixture(scope="module")
def old_thread(old_folder: Path) -> Iterator[EngineThread]:
    thread = EngineThread(VllmEngine(str(old_folder), engine_args=ENGINE_ARGS))
    thread.start()
    yield thread
    thread.close()


def test_an_old_rope_scaling_means_the_same(
    old_folder: Path, old_thread: EngineThread, ask: Ask
) -> None:
    config = (old_folder / "config.json").read_bytes()
    assert json.loads(config)["rope_scaling"]["type"] == "mrope"
    questions = [question(number) for number in range(12)]
    old = old_thread.run(old_thread.engine.caption(questions)).result(120)
    texts = [answer.text for answer in old if isinstance(answer, Answer)]
    assert texts == [answer.text for answer in ask(questions) if isinstance(answer, Answer)]
    assert len(set(texts)) == len(questions)
    assert (old_folder / "config.json").read_bytes() == config


def test_a_killed_core_ends_every_call_at_once(old_thread: EngineThread) -> None:
    endless = Sampling(temperature=0.0, max_tokens=3500)
    calls = [
        old_thread.run(
            old_thread.engine.caption([question(number + i, endless, "doomed") for i in range(4)])
        )
        for number in range(3)
    ]
    cores = [p for p in psutil.Process().children(recursive=True) if "EngineCore" in p.name()]
    core = max(cores, key=psutil.Process.create_time)
    os.kill(core.pid, signal.SIGKILL)
    for call in calls:
        with pytest.raises(EngineDeadError):
            call.result(60)
    with pytest.raises(EngineDeadError):
        old_thread.run(old_thread.engine.health()).result(10)
    with pytest.raises(EngineDeadError):
        old_thread.run(old_thread.engine.caption([question(1)])).result(10)
