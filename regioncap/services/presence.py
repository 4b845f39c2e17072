"""Presence: every few seconds each worker says in Redis that it is alive."""

from __future__ import annotations

import json
import logging
import os
import socket
import threading
import time
from collections.abc import Callable
from typing import Any

import redis

from regioncap.errors import UsageError
from regioncap.parallel import start_thread
from regioncap.services.broker import queue_errors

_PREFIX = "regioncap:worker:"
_PERIOD_S = 5
_EXPIRES_S = 20

_log = logging.getLogger(__name__)


class Presence:
    """Says in Redis that this worker is alive, until it stops.

    Args:
        client: The Redis that carries the queue.
        kind: `render` or `caption`.
        doing: Gives what the worker is at, told anew each time.
        details: What else to tell, such as the queue and the model.
    """

    def __init__(
        self,
        client: redis.Redis,
        kind: str,
        doing: Callable[[], dict[str, Any]] = dict,
        **details: Any,
    ) -> None:
        self._redis = client
        host, pid = socket.gethostname(), os.getpid()
        self._key = f"{_PREFIX}{kind}:{host}:{pid}"
        self._value = {
            "kind": kind, "host": host, "pid": pid, "since": time.time(), **details,
        }  # fmt: skip
        self._doing = doing
        self._beat_s = time.monotonic()
        self._stopped = threading.Event()

    def start(self) -> None:
        """Starts the thread that says so."""
        start_thread("presence", self._run)

    def stop(self) -> None:
        """Stops, and removes the worker's entry."""
        self._stopped.set()
        try:
            self._redis.delete(self._key)
        except redis.exceptions.RedisError:
            _log.debug("the farewell did not arrive; the entry expires by itself")

    def check(self) -> str:
        """What is wrong with the thread; a Redis that is away is no fault of the worker."""
        silent_s = time.monotonic() - self._beat_s
        return f"no heartbeat for {silent_s:.0f} s" if silent_s > 3 * _EXPIRES_S else ""

    def _run(self) -> None:
        while not self._stopped.is_set():
            try:
                value = self._value | self._doing()
                self._redis.set(self._key, json.dumps(value), ex=_EXPIRES_S)
            except redis.exceptions.RedisError as error:
                _log.warning("Redis cannot be reached (%s)", type(error).__name__)
            except Exception:  # whatever it is, the worker lives
                _log.exception("what this worker does cannot be told")
            self._beat_s = time.monotonic()
            self._stopped.wait(_PERIOD_S)


def workers(client: redis.Redis) -> list[dict[str, Any]]:
    """The workers that live, by kind and host; what else may lie there is left out."""
    with queue_errors():
        keys = sorted(client.scan_iter(f"{_PREFIX}*", count=1000))
        values = client.mget(keys) if keys else []
    return [told for told in map(_told, values) if told is not None]


def _told(value: str | bytes | None) -> dict[str, Any] | None:
    """What a worker told; None if this is not what workers tell."""
    try:
        told = json.loads(value or "")
    except (ValueError, RecursionError):
        return None
    forms = {"kind": str, "host": str, "pid": int, "since": int | float}
    forms |= {"queue": str} if isinstance(told, dict) and told.get("kind") == "caption" else {}
    if not isinstance(told, dict) or any(
        not isinstance(told.get(name), form) for name, form in forms.items()
    ):
        return None
    return told


def check_timeout(client: redis.Redis, timeout_s: float) -> None:
    """Returns if all workers that live have the same visibility timeout as this one.

    The shortest rules: its worker would take the shards of all others from them.

    Raises:
        UsageError: One has another (`other-timeout`).
    """
    for worker in workers(client):
        if worker.get("visibility_timeout_s", timeout_s) != timeout_s:
            raise UsageError(
                f"the {worker['kind']} worker {worker['pid']} on {worker['host']} has "
                f"visibility_timeout_s={worker['visibility_timeout_s']:g}, this one {timeout_s:g}",
                code="other-timeout",
                hint="give all workers the same, and stop those that have another first",
            )


def serving(client: redis.Redis, kind: str, queue: str) -> list[dict[str, Any]]:
    """Those of one kind that live and serve a queue; render workers all serve theirs."""
    return [
        worker
        for worker in workers(client)
        if worker["kind"] == kind and (kind == "render" or worker["queue"] == queue)
    ]


def unserved(client: redis.Redis, queue: str) -> list[str]:
    """The kinds of workers that a job on a queue waits for, as there are none."""
    return [kind for kind in ("render", "caption") if not serving(client, kind, queue)]


def start_command(kind: str, queue: str) -> str:
    """What to type to start a worker."""
    extra = f" --queue {queue}" if kind == "caption" and queue != "caption" else ""
    return f"regioncap worker {kind}{extra}"
