"""Recall: puts shards into queues, those that waited beside them and those whose turn it is."""

from __future__ import annotations

import redis
import structlog

from regioncap.errors import ServiceError
from regioncap.parallel import REAL, Runtime
from regioncap.services.feeder import Feeder
from regioncap.services.waits import put_back

#: Every worker looks, and one look costs Redis some five commands.
_PERIOD_S = 1.0

_log = structlog.get_logger("regioncap")


class Recall:
    """Looks again and again, for as long as the worker lives.

    Args:
        client: The Redis that carries the queue.
        queue: The queue that the worker takes from.
        runtime: The clock and the thread that it goes by.
    """

    def __init__(self, client: redis.Redis, queue: str, *, runtime: Runtime = REAL) -> None:
        self._redis = client
        self._queue = queue
        self._feeder = Feeder(client, runtime.monotonic)
        self._runtime = runtime

    def start(self) -> None:
        """Looks in a thread of its own."""
        self._runtime.start("recall", self.run)

    def run(self) -> None:
        """Looks every second; whatever goes wrong, the worker lives."""
        while True:
            self._runtime.sleep(_PERIOD_S)
            try:
                put_back(self._redis, self._queue)
                self._feeder.feed_all()
            except ServiceError as error:
                _log.debug("what waits goes on waiting", error=str(error))
            except Exception:
                _log.exception("what waits could not be put back")
