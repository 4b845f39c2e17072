"""The caption worker with an engine that is slow (HURT_SLEEP_S) and dies of a record.

Of HURT_DEAD the engine dies, with all that is in it, and stays dead; of HURT_CRASH the process;
HURT_HANG is never answered.

Every start of a record is written to the file named by HURT_STARTS, its end with a minus before it
if it was taken out of the engine.
"""

from __future__ import annotations

import asyncio
import os
import signal
import threading
from collections.abc import Sequence
from pathlib import Path

from regioncap.engines.base import Answer, CaptionRequest
from regioncap.engines.baseline import BaselineEngine
from regioncap.errors import EngineDeadError, RequestError

_real = BaselineEngine.caption
_dead = threading.Event()


def _note(text: str) -> None:
    with Path(os.environ["HURT_STARTS"]).open("a") as starts:
        starts.write(text + "\n")


async def _hurt(
    self: BaselineEngine, requests: Sequence[CaptionRequest]
) -> list[Answer | RequestError]:
    index = requests[0].request_id.split("-")[-2]
    _note(index)
    try:
        await asyncio.sleep(float(os.environ.get("HURT_SLEEP_S", "0")))
    except asyncio.CancelledError:
        _note(f"-{index}")
        raise
    if index == os.environ.get("HURT_HANG"):
        await asyncio.Event().wait()
    if index == os.environ.get("HURT_DEAD"):
        _dead.set()
    if _dead.is_set():
        raise EngineDeadError("the engine is gone")
    if index == os.environ.get("HURT_CRASH"):
        os.kill(os.getpid(), signal.SIGSEGV)
    return await _real(self, requests)


async def _health(self: BaselineEngine) -> None:
    if "HURT_IDLE" in os.environ:
        raise EngineDeadError("the engine is gone")


BaselineEngine.health = _health  # type: ignore[method-assign]
BaselineEngine.caption = _hurt  # type: ignore[method-assign]

from workers.caption import app  # noqa: E402, F401  # the worker, hurt as above
