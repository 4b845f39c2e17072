"""GPU time: how long an engine was busy, divided among the shards in it; pure but for the clock.

Several shards are in an engine together. Adding up how long each was there would count the same
second several times; here each moment is divided among those there at that moment, so that all
shares together are the time in which there was any.
"""

from __future__ import annotations

import threading
import time
from collections.abc import Callable, Iterator
from contextlib import contextmanager
from dataclasses import dataclass


@dataclass(slots=True, eq=False)
class Share:
    """One piece of work's part of the busy time."""

    seconds: float = 0.0


class BusyClock:
    """Measures shares; for many threads.

    Args:
        now: A clock in seconds that never goes back.
    """

    def __init__(self, now: Callable[[], float] = time.monotonic) -> None:
        self._now = now
        self._lock = threading.Lock()
        self._working: list[Share] = []
        self._since = now()

    @contextmanager
    def working(self) -> Iterator[Share]:
        """Says that work is under way; its share is whole when it ends."""
        share = Share()
        with self._lock:
            self._divide()
            self._working.append(share)
        try:
            yield share
        finally:
            with self._lock:
                self._divide()
                self._working.remove(share)

    def so_far_s(self, share: Share) -> float:
        """What a share is until now, seconds."""
        with self._lock:
            self._divide()
            return share.seconds

    def _divide(self) -> None:
        now = self._now()
        for share in self._working:
            share.seconds += (now - self._since) / len(self._working)
        self._since = now
