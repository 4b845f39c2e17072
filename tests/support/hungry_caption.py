"""The caption worker with an engine that answers nothing before its batch of HUNGRY_BATCH is full.

It answers all of a job only if the worker keeps bringing requests; HUNGRY_MOST is a file that gets
the most requests that were there together.
"""

from __future__ import annotations

import asyncio
import os
from collections.abc import Sequence
from pathlib import Path

from regioncap.engines.base import Answer, CaptionRequest, EngineStats
from regioncap.engines.baseline import BaselineEngine
from regioncap.errors import RequestError

_BATCH = int(os.environ["HUNGRY_BATCH"])
_MOST = Path(os.environ["HUNGRY_MOST"])
_MOST.write_text("0")

_real = BaselineEngine.caption
_full = asyncio.Event()
_running: list[CaptionRequest] = []


async def _hungry(
    self: BaselineEngine, requests: Sequence[CaptionRequest]
) -> list[Answer | RequestError]:
    _running.extend(requests)
    _MOST.write_text(str(max(len(_running), int(_MOST.read_text()))))
    if len(_running) >= _BATCH:
        _full.set()
    try:
        if requests[0].request_id != "warm-up":
            await _full.wait()
        return await _real(self, requests)
    finally:
        for request in requests:
            _running.remove(request)


def _stats(self: BaselineEngine) -> EngineStats:
    return EngineStats(min(len(_running), _BATCH), max(0, len(_running) - _BATCH), _BATCH)


BaselineEngine.caption = _hungry  # type: ignore[method-assign]
BaselineEngine.stats = _stats  # type: ignore[assignment, method-assign]

from workers.caption import app  # noqa: E402, F401  # the worker, with this engine
