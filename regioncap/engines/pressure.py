"""How many requests a server gets at once: fewer when it has too many, more when it copes."""

from __future__ import annotations

import asyncio
import time
from collections.abc import AsyncIterator, Callable
from contextlib import asynccontextmanager

#: Refusals that come together are one: the limit is halved once in this time.
_ONCE_S = 1.0


class Pressure:
    """Lets so many in at a time as the server is able to take; for one event loop.

    The rule is that of TCP (additive increase, multiplicative decrease): halved when the server
    refuses, and one more when it has answered as many as are let in.

    Args:
        most: Never more than these.
        clock: Seconds, never going back.
    """

    def __init__(self, most: int, clock: Callable[[], float] = time.monotonic) -> None:
        self._most = most
        self._clock = clock
        self._limit = float(most)
        self.running = 0
        self.waiting = 0
        self._refused_s = -_ONCE_S
        self._changed = asyncio.Condition()

    @property
    def limit(self) -> int:
        """How many are let in at present."""
        return int(self._limit)

    @asynccontextmanager
    async def request(self) -> AsyncIterator[None]:
        """Waits for its turn, and makes the request in the block."""
        self.waiting += 1
        try:
            async with self._changed:
                await self._changed.wait_for(lambda: self.running < self.limit)
                self.running += 1
        finally:
            self.waiting -= 1
        try:
            yield
        finally:
            self.running -= 1
            async with self._changed:
                self._changed.notify_all()

    def answered(self) -> None:
        """The server has answered."""
        self._limit = min(self._most, self._limit + 1 / self._limit)

    def refused(self) -> None:
        """The server has more than it can take."""
        if self._clock() - self._refused_s >= _ONCE_S:
            self._refused_s = self._clock()
            self._limit = max(1.0, self._limit / 2)
