"""The core of the shared engine is killed: after all other tests."""

from __future__ import annotations

import os
import signal

import psutil
import pytest

from regioncap.engines.thread import EngineThread
from regioncap.errors import EngineDeadError
from tests.support.scenes import endless, question


def test_a_killed_core_ends_every_call_at_once(engine_thread: EngineThread) -> None:
    asked = [endless(number) for number in range(12)]
    calls = [engine_thread.run(engine_thread.engine.caption(asked[start::3])) for start in range(3)]
    (core,) = [p for p in psutil.Process().children() if "EngineCore" in p.name()]
    os.kill(core.pid, signal.SIGKILL)
    for call in calls:
        with pytest.raises(EngineDeadError):
            call.result(60)
    with pytest.raises(EngineDeadError):
        engine_thread.run(engine_thread.engine.health()).result(10)
    with pytest.raises(EngineDeadError):
        engine_thread.run(engine_thread.engine.caption([question(1)])).result(10)
