"""The monitor: what makes a worker unwell, and what is no fault of it."""

from __future__ import annotations

from collections.abc import Iterator

import pytest

from regioncap.engines.thread import EngineThread
from regioncap.settings import load_settings
from tests.support.engines import SilentEngine
from workers import monitor
from workers.monitor import Monitor


@pytest.fixture
def thread() -> Iterator[EngineThread]:
    thread = EngineThread(SilentEngine())
    thread.start()
    yield thread
    thread.close()


@pytest.mark.parametrize("is_remote", [True, False])
def test_an_engine_that_is_elsewhere_and_silent_makes_no_worker_unwell(
    thread: EngineThread, monkeypatch: pytest.MonkeyPatch, is_remote: bool
) -> None:
    monkeypatch.setattr(monitor, "_ENGINE_TIMEOUT_S", 0.01)
    monkeypatch.setattr(thread.engine, "is_remote", is_remote, raising=False)
    watching = Monitor(load_settings(), "caption", lambda: thread)

    said = watching._check_engine()

    assert said == ("" if is_remote else "the engine has not answered for 0 s")
