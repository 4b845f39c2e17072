"""`regioncap worker` becomes a Celery worker that has the settings it was given."""

from __future__ import annotations

import os
from pathlib import Path
from typing import Any

import pytest

from producer.cli import app


@pytest.fixture
def started(monkeypatch: pytest.MonkeyPatch, tmp_path: Path) -> dict[str, Any]:
    """What the process would have become."""
    monkeypatch.chdir(tmp_path)
    seen: dict[str, Any] = {}
    monkeypatch.setattr(os, "execve", lambda _, argv, env: seen.update(argv=argv, env=env))
    return seen


def test_flags_reach_the_worker(started: dict[str, Any]) -> None:
    flags = ["--broker-url", "redis://elsewhere:1/0", "worker", "caption", "--concurrency", "3"]
    app(flags, standalone_mode=False, obj={})

    assert started["env"]["REGIONCAP_BROKER_URL"] == "redis://elsewhere:1/0"
    assert started["env"]["REGIONCAP_CONCURRENCY"] == "3"
    assert "REGIONCAP_S3_BUCKET" not in started["env"]


@pytest.mark.parametrize(
    ("flags", "queue"), [([], "caption.of-toml"), (["--queue", "caption.7b"], "caption.7b")]
)
def test_queue_is_the_one_of_the_settings(
    started: dict[str, Any], tmp_path: Path, flags: list[str], queue: str
) -> None:
    (tmp_path / "regioncap.toml").write_text('queue = "caption.of-toml"')

    app(["worker", "caption", *flags], standalone_mode=False, obj={})

    assert started["argv"][started["argv"].index("-Q") + 1] == queue
