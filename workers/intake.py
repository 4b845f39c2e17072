"""Intake: how many shards a caption worker takes, so that its engine always has requests.

A worker that holds a fixed number of shards takes the next one when the last record of another is
done: until then the batch runs empty. Here requests are counted instead: the next shard is taken as
soon as those left would no longer fill the batch and a waiting line of a quarter of it, which the
engine prepares meanwhile.
"""

from __future__ import annotations

import threading
from collections.abc import Callable

from regioncap.jobs.load import Load

#: Requests that wait at the engine, as a part of the batch, and the fewest of them: a shard.
_AHEAD, _LEAST_AHEAD = 0.25, 32
#: Shards in hand at most, as each has a thread.
_MOST_SHARDS = 256


class Intake:
    """Decides whether another shard is taken.

    Args:
        batch: The most requests that the engine runs together.
        load: What the shards in hand have still to ask.
        taken: How many shards are in hand.
        wake: Has whoever was told that there is no room ask again.
    """

    def __init__(
        self, batch: int, load: Load, taken: Callable[[], int], wake: Callable[[], None]
    ) -> None:
        self._enough = batch + max(_LEAST_AHEAD, round(_AHEAD * batch))
        self._load = load
        self._taken = taken
        self._wake = wake
        # Between a look at the load and the note of what it said, the load may become less.
        self._lock = threading.Lock()
        self._was_full = False

    @property
    def most_shards(self) -> int:
        """The most shards that may be in hand: enough even where each has one request."""
        return min(_MOST_SHARDS, self._enough)

    def has_room(self) -> bool:
        """Whether the worker is to take another shard; for any thread."""
        with self._lock:
            self._was_full = self._load.requests(self._taken()) >= self._enough
            return not self._was_full

    def room(self) -> int:
        """How many shards the worker can have with those that it has."""
        return self._taken() + self.has_room()

    def look_again(self) -> None:
        """Says that the load has become less; for any thread."""
        with self._lock:
            was_full = self._was_full
        if was_full and self.has_room():
            self._wake()
