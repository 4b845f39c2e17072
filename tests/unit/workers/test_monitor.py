"""The monitor: what makes a worker unwell, and what is no fault of it."""

from __future__ import annotations

import socket
from collections.abc import Iterator

import pytest

from regioncap.engines.thread import EngineThread
from regioncap.settings import load_settings
from tests.support.engines import SilentEngine
from workers import health, monitor
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


def test_looks_at_services_that_are_silent_end_before_a_probe_gives_up(
    thread: EngineThread,
) -> None:
    watching = Monitor(load_settings(), "caption", lambda: thread)
    redis = watching._redis.get_connection_kwargs()

    longest_s = max(redis["socket_timeout"], redis["socket_connect_timeout"])
    assert redis["retry"].get_retries() == 0
    assert monitor._ENGINE_TIMEOUT_S + longest_s < health._PROBE_TIMEOUT_S


def test_a_redis_that_hangs_makes_no_worker_unwell(
    thread: EngineThread, monkeypatch: pytest.MonkeyPatch
) -> None:
    monkeypatch.setattr(monitor, "_REDIS_TIMEOUT_S", 0.01)
    with socket.create_server(("127.0.0.1", 0)) as silent:
        url = f"redis://127.0.0.1:{silent.getsockname()[1]}/0"
        watching = Monitor(load_settings(broker_url=url), "caption", lambda: thread)

        assert watching._liveness.check() == ""
        assert watching._depths() == {}
        assert watching._memory() is None
