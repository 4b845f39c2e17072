"""Where each setting has its value from, without its secrets."""

from __future__ import annotations

from pathlib import Path
from typing import Any

import pytest

from producer.origins import origin_of, origins


@pytest.fixture(autouse=True)
def _empty_folder(tmp_path: Path, monkeypatch: pytest.MonkeyPatch) -> None:
    monkeypatch.chdir(tmp_path)


def test_origins__names_the_strongest_source(monkeypatch: pytest.MonkeyPatch) -> None:
    Path("regioncap.toml").write_text("max_boxes = 3\ntop_p = 0.5\nmax_tokens = 99\n")
    monkeypatch.setenv("REGIONCAP_MAX_BOXES", "4")
    monkeypatch.setenv("REGIONCAP_TOP_P", "0.6")

    found = {each.name: (each.value, each.origin) for each in origins(max_boxes=5, seed=None)}

    assert found["max_boxes"] == (5, "flag")
    assert found["top_p"] == (0.6, "environment")
    assert found["max_tokens"] == (99, "regioncap.toml")
    assert found["seed"] == (None, "default")
    assert origin_of("top_p") == "environment"


def test_origins__masks_secrets(monkeypatch: pytest.MonkeyPatch) -> None:
    given: dict[str, Any] = {
        "broker_url": "redis://me:s3cret@host:1/0",
        "on_end_url": "https://hooks.slack.com/services/T0/B0/s3cret",
        "openai_base_url": "https://me:s3cret@host/v1",
        "openai_api_key": "//s3cret/x",  # no address, though it can be read as one
    }
    monkeypatch.setenv("REGIONCAP_S3_SECRET_KEY", "s3cret")

    found = {each.name: each.value for each in origins(**given)}

    assert found["broker_url"] == "redis://me:********@host:1/0"
    assert found["on_end_url"] == "https://hooks.slack.com/********"
    assert found["openai_base_url"] == "https://me:********@host/v1"
    assert found["openai_api_key"] == found["s3_secret_key"] == "********"
    assert "s3cret" not in str(found)
    plain = {each.name: each.value for each in origins(secrets=True, **given)}
    assert plain.items() >= {**given, "s3_secret_key": "s3cret"}.items()
