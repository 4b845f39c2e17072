"""Engines whose answers a test writes itself."""

from __future__ import annotations

import asyncio
import threading
from collections.abc import Callable, Sequence

from regioncap.engines.base import Answer, CaptionRequest
from regioncap.errors import RequestError
from regioncap.job import Grid

Reply = str | Answer | RequestError


class ScriptedEngine:
    """Answers each request with what a function makes of it, and remembers the requests."""

    name = "scripted"
    model = "scripted"
    model_revision = ""

    def __init__(self, reply: Callable[[CaptionRequest], Reply]) -> None:
        self._reply = reply
        #: How its model takes pictures; it looks at none.
        self.grid: Grid | None = None
        self.requests: list[CaptionRequest] = []

    async def start(self) -> None:
        """Has nothing to load."""

    async def caption(self, requests: Sequence[CaptionRequest]) -> list[Answer | RequestError]:
        self.requests += requests
        replies = [self._reply(request) for request in requests]
        return [Answer(reply) if isinstance(reply, str) else reply for reply in replies]

    async def health(self) -> None:
        """Is always fine."""

    async def close(self) -> None:
        """Holds nothing."""

    def stats(self) -> None:
        """None: it has no batch."""


class SilentEngine(ScriptedEngine):
    """Never says whether it serves."""

    def __init__(self) -> None:
        super().__init__(lambda _: "")
        #: Set when somebody who asked waits no more.
        self.is_left = threading.Event()

    async def health(self) -> None:
        try:
            await asyncio.Event().wait()
        finally:
            self.is_left.set()
