"""An engine in a thread: what is asked there, and what nobody waits for any more."""

from __future__ import annotations

import pytest

from regioncap.engines.thread import EngineThread
from tests.support.engines import SilentEngine


def test_a_look_in_vain_leaves_nothing_behind() -> None:
    engine = SilentEngine()
    thread = EngineThread(engine)
    thread.start()
    with pytest.raises(TimeoutError):
        thread.check(0.01)
    assert engine.is_left.wait(30)
    thread.close()
