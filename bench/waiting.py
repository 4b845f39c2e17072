"""The caption worker with an engine that only waits, for as long as a GPU of some speed would.

    celery -A bench.waiting worker -Q caption -P threads

BENCH_IMAGES_PER_S   how many images a second the engine answers, one after the other; 0: no limit
BENCH_LATENCY_S      the least time that a request takes
"""

from __future__ import annotations

import asyncio
import os
from collections.abc import Sequence

from regioncap import engines
from regioncap.engines.base import Answer, CaptionRequest, Engine
from regioncap.errors import RequestError
from regioncap.settings import Settings


class WaitingEngine:
    """Answers every request with the same words, no sooner than a GPU would."""

    name = "waiting"
    model = "waiting-1"
    model_revision = ""
    grid = None

    def __init__(self, images_per_s: float, latency_s: float) -> None:
        self._each_s = 1 / images_per_s if images_per_s else 0.0
        self._latency_s = latency_s
        #: When the answers to all requests so far will have been given, on the loop's clock.
        self._busy_until = 0.0

    async def start(self) -> None:
        """Has nothing to load."""

    async def caption(self, requests: Sequence[CaptionRequest]) -> list[Answer | RequestError]:
        """Waits for each request's turn."""
        return [await self._answer(request) for request in requests]

    async def _answer(self, request: CaptionRequest) -> Answer:
        now = asyncio.get_running_loop().time()
        self._busy_until = max(self._busy_until, now) + self._each_s
        await asyncio.sleep(max(self._busy_until - now, self._latency_s))
        return Answer("\n".join(f"In <region{r.number}>, a thing." for r in request.regions))

    async def health(self) -> None:
        """Is always fine."""

    async def close(self) -> None:
        """Holds nothing."""

    def stats(self) -> None:
        """None: it has no batch."""


def _make(settings: Settings) -> Engine:
    del settings
    environment = os.environ
    return WaitingEngine(
        float(environment.get("BENCH_IMAGES_PER_S", "0")),
        float(environment.get("BENCH_LATENCY_S", "0")),
    )


engines.make = _make

from workers.caption import app  # noqa: E402, F401  # the worker, with this engine
