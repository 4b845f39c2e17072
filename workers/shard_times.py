"""Shard times: how long a process took over the last shards of the last jobs."""

from __future__ import annotations

import threading
from collections import OrderedDict, deque
from statistics import median

#: So many jobs, and so many shards of each.
_JOBS, _SHARDS = 8, 16


class ShardTimes:
    """Remembers times; for many threads."""

    def __init__(self) -> None:
        self._lock = threading.Lock()
        self._seconds: OrderedDict[str, deque[float]] = OrderedDict()

    def note(self, job: str, seconds: float) -> None:
        """Notes how long a shard was in hand until it was done."""
        with self._lock:
            self._seconds.setdefault(job, deque(maxlen=_SHARDS)).append(seconds)
            self._seconds.move_to_end(job)
            if len(self._seconds) > _JOBS:
                self._seconds.popitem(last=False)

    def medians_s(self) -> dict[str, float]:
        """The median time of each job's last shards."""
        with self._lock:
            return {job: round(median(times), 3) for job, times in self._seconds.items()}
