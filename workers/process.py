"""The process of a Celery worker, as its drain sees it."""

from __future__ import annotations

import os
import signal
from typing import Any

import structlog
from celery import signals
from celery.worker import WorkController, state

_log = structlog.get_logger("regioncap")


class CeleryProcess:
    """This process, from the moment that Celery has made its worker; see `drain.Process`."""

    def __init__(self) -> None:
        self._worker: WorkController | None = None

    def connect(self) -> None:
        """Takes the worker that Celery makes in this process."""
        signals.worker_init.connect(self._take, weak=False)

    def _take(self, sender: WorkController, **_: Any) -> None:
        self._worker = sender

    def in_hand(self) -> int:
        """How many shards it has."""
        return len(state.active_requests)

    def taken(self) -> int:
        """How many shards it has, those among them that no thread has begun."""
        return len(state.reserved_requests)

    def wake(self) -> None:
        """Has Celery's loop look for messages now; for any thread."""
        consumer = getattr(self._worker, "consumer", None)
        if consumer is not None:
            consumer.call_soon(lambda: None)

    def take_no_more(self, code: int) -> None:
        """Celery's loop looks at it before it reads the next message."""
        state.should_stop = code

    def give_back(self) -> int:
        """Puts back whatever is not acknowledged; how many shards that was."""
        consumer = getattr(self._worker, "consumer", None)
        tasks = getattr(consumer, "task_consumer", None)
        if tasks is None:
            return 0
        qos = tasks.channel.qos
        tags = list(qos._delivered)
        for tag in tags:
            try:
                qos.restore_by_tag(tag)
            except Exception as error:  # its lease runs out instead
                _log.warning("a shard could not be put back", error=type(error).__name__)
                break
        return len(tags)

    def end(self, code: int) -> None:
        """Ends the process and those of its pool at once."""
        pool = getattr(self._worker, "pool", None)
        for pid in (pool.info or {}).get("processes", []) if pool else []:
            if isinstance(pid, int):
                os.kill(pid, signal.SIGKILL)
        os._exit(code)
