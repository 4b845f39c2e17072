"""Load: how many requests the shards in a worker's hands have still to bring to an end."""

from __future__ import annotations

import threading
from collections.abc import Callable, Iterator
from contextlib import contextmanager

#: What a shard counts for until its records are read, where none has been read before.
_LIKELY_REQUESTS = 32


class Load:
    """Counts requests of shards; for many threads."""

    def __init__(self) -> None:
        #: Called whenever the load has become less, in the thread that made it so.
        self.on_less: Callable[[], None] = lambda: None
        self._lock = threading.Lock()
        self._likely = _LIKELY_REQUESTS
        self._shards = 0
        self._requests = 0

    def requests(self, shards: int) -> int:
        """Requests that are not answered yet, of all shards that the worker has.

        Args:
            shards: How many those are; one that is not counted here yet is as large as the last.
        """
        with self._lock:
            return self._requests + self._likely * max(0, shards - self._shards)

    @contextmanager
    def shard(self) -> Iterator[ShardLoad]:
        """Counts a shard for as long as the block runs."""
        with self._lock:
            self._shards += 1
            mine = ShardLoad(self, self._likely)
            self._requests += mine.requests
        try:
            yield mine
        finally:
            with self._lock:
                self._shards -= 1
            mine.set(0)

    def _add(self, requests: int, likely: int | None = None) -> None:
        with self._lock:
            self._requests += requests
            self._likely = likely or self._likely
        if requests < 0:
            self.on_less()


class ShardLoad:
    """The load of one shard, in one thread at a time.

    Args:
        load: The worker's.
        requests: How many requests the shard counts for.
    """

    def __init__(self, load: Load, requests: int) -> None:
        self._load = load
        self.requests = requests

    def know(self, requests: int) -> None:
        """Says how many requests the shard makes, now that its records are read."""
        self.set(requests, likely=requests)

    def set(self, requests: int, likely: int | None = None) -> None:
        """Says how many requests are left."""
        less, self.requests = requests - self.requests, requests
        self._load._add(less, likely)

    def answered(self, requests: int) -> None:
        """Says that so many requests more are answered."""
        self.set(max(0, self.requests - requests))
