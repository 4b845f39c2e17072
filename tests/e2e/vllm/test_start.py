"""Why an engine may not start, said before minutes are spent on loading."""

from __future__ import annotations

import asyncio
from pathlib import Path
from typing import Any

import pytest

from regioncap.engines.vllm import VllmEngine
from regioncap.errors import EngineDeadError, EngineStartError
from regioncap.settings import Settings
from tests.e2e.vllm.conftest import ENGINE_ARGS


def start(folder: Path, **engine_args: Any) -> EngineStartError:
    engine = VllmEngine(Settings(model=str(folder), engine_args=ENGINE_ARGS | engine_args))
    with pytest.raises(EngineStartError) as caught:
        asyncio.run(engine.start())
    return caught.value


@pytest.mark.parametrize(
    ("argument", "hint"),
    [("max_modle_len", "max_model_len"), ("zzz", "vllm serve --help"), ("model", "setting")],
)
def test_an_unknown_argument_is_named(tiny_model: Path, argument: str, hint: str) -> None:
    error = start(tiny_model, **{argument: 1})
    assert error.code == "engine-args-unknown"
    assert argument in error.message
    assert hint in error.hint


@pytest.mark.more
def test_vllms_own_words_on_a_value_are_passed_on(tiny_model: Path) -> None:
    error = start(tiny_model, **{"max-model-len": 1 << 20})
    assert error.code == "engine-start"
    assert "max_model_len" in error.message


def test_too_little_memory(tiny_model: Path, monkeypatch: pytest.MonkeyPatch) -> None:
    monkeypatch.setenv("VLLM_CPU_KVCACHE_SPACE", "1000000")
    error = start(tiny_model)
    assert error.code == "memory-short"
    assert "VLLM_CPU_KVCACHE_SPACE" in error.hint


def test_no_such_folder(tmp_path: Path) -> None:
    assert start(tmp_path / "none").code == "model-folder-missing"


def test_an_engine_that_never_started_can_be_closed_and_does_not_serve(tiny_model: Path) -> None:
    engine = VllmEngine(Settings(model=str(tiny_model)))
    asyncio.run(engine.close())
    with pytest.raises(EngineDeadError):
        asyncio.run(engine.health())
