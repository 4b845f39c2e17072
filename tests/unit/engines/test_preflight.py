"""Whether an engine can start at all, told before any service starts."""

from __future__ import annotations

from pathlib import Path

import pytest

from producer.checks import check_engine
from regioncap.engines import preflight
from regioncap.errors import EngineStartError
from regioncap.settings import Settings
from tests.support.chat_server import Behaviour, serve_chat


def why(settings: Settings) -> EngineStartError:
    with pytest.raises(EngineStartError) as caught:
        preflight.check(settings)
    return caught.value


def test_the_baseline_says_that_it_is_no_model() -> None:
    assert "which is no model" in preflight.check(Settings(engine="baseline"))


def test_a_server_that_is_not_there_is_told_of_in_one_try() -> None:
    error = why(Settings(engine="openai", openai_base_url="http://127.0.0.1:9/v1"))
    assert error.code == "server-unreachable"
    assert "--base-url" in error.hint


def test_the_only_model_of_a_server_needs_no_name() -> None:
    with serve_chat(Behaviour(models=["tiny"])) as url:
        assert preflight.check(Settings(engine="openai", openai_base_url=url)) == (
            f"captions come from tiny at {url}"
        )


def test_of_several_models_one_is_to_be_named() -> None:
    with serve_chat(Behaviour(models=["a", "b"])) as url:
        error = why(Settings(engine="openai", openai_base_url=url))
        named = preflight.check(Settings(engine="openai", openai_base_url=url, model="b"))
    assert "serves 2 models, and none is named" in error.message
    assert error.hint == "name one that it serves with --model: a, b"
    assert named == f"captions come from b at {url}"


def test_vllm_that_is_not_installed(monkeypatch: pytest.MonkeyPatch) -> None:
    monkeypatch.setattr(preflight, "is_installed", lambda _: False)
    error = why(Settings(engine="vllm"))
    assert error.code == "vllm-missing"
    assert "pip install" in error.hint


def test_a_model_that_is_nowhere(monkeypatch: pytest.MonkeyPatch, tmp_path: Path) -> None:
    monkeypatch.setattr(preflight, "is_installed", lambda _: True)
    assert why(Settings(engine="vllm", model=str(tmp_path / "x"))).code == "model-folder-missing"


def test_doctor_tells_the_same() -> None:
    found = check_engine(Settings(engine="openai", openai_base_url="http://127.0.0.1:9/v1"))
    assert (found.name, found.status) == ("engine", "fail")
    assert "--base-url" in found.remedy


def test_a_login_in_the_address_is_in_no_message() -> None:
    found = check_engine(Settings(engine="openai", openai_base_url="http://me:s3cret@127.0.0.1:9"))
    assert "http://me:********@127.0.0.1:9" in found.what
    assert "s3cret" not in found.what + found.remedy
