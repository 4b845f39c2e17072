"""Leases: keeping the shards in hand from being given to another worker.

kombu gives a message that is not acknowledged within the visibility timeout to another worker. That
timeout is short, so that a killed worker's shards run elsewhere soon; a worker that lives renews
its messages here. The renewal touches a private key of kombu, and a contract test pins it.
"""

from __future__ import annotations

import logging
import threading
import time
from collections.abc import Iterator
from contextlib import contextmanager

import redis

#: kombu's sorted set of unacknowledged messages: delivery tag -> time of delivery.
UNACKED_INDEX = "unacked_index"

_log = logging.getLogger(__name__)


class Leases:
    """Renews the messages in hand, from one daemon thread, three times per timeout.

    Args:
        client: The Redis that carries the queue.
        timeout_s: The visibility timeout.
    """

    def __init__(self, client: redis.Redis, timeout_s: float) -> None:
        self._redis = client
        self._period_s = timeout_s / 3
        self._tags: set[str] = set()
        self._lock = threading.Lock()
        self._thread: threading.Thread | None = None

    @contextmanager
    def hold(self, tag: str) -> Iterator[None]:
        """Keeps one message for as long as the block runs."""
        with self._lock:
            self._tags.add(tag)
            if self._thread is None:
                self._thread = threading.Thread(target=self._run, name="leases", daemon=True)
                self._thread.start()
        try:
            yield
        finally:
            with self._lock:
                self._tags.discard(tag)

    def renew(self) -> None:
        """Renews all messages in hand once."""
        with self._lock:
            tags = sorted(self._tags)
        if tags:
            now = time.time()
            # XX: a message that was acknowledged meanwhile must not come back.
            self._redis.zadd(UNACKED_INDEX, dict.fromkeys(tags, now), xx=True)

    def _run(self) -> None:
        while True:
            time.sleep(self._period_s)
            try:
                self.renew()
            except redis.exceptions.RedisError as error:
                _log.warning("leases could not be renewed: %s", type(error).__name__)
