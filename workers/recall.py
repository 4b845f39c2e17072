"""Recall: puts shards into queues, those that waited beside them and those whose turn it is."""

from __future__ import annotations

import redis

from regioncap.parallel import REAL
from regioncap.services.feeder import Feeder
from regioncap.services.rounds import Rounds
from regioncap.services.waits import put_back

#: Every worker looks, and one look costs Redis some five commands.
_PERIOD_S = 1.0


def rounds(client: redis.Redis, queue: str) -> Rounds:
    """Looks every second.

    Args:
        client: The Redis that carries the queue.
        queue: The queue that the worker takes from.
    """
    feeder = Feeder(client, REAL.monotonic)

    def look() -> None:
        put_back(client, queue)
        feeder.feed_all()

    return Rounds("recall", look, _PERIOD_S, "what waits goes on waiting", is_told=False)
