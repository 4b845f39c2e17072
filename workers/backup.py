"""Backup: a second claim on last shards whose holders are much slower than the rest.

As MapReduce's backup tasks (Dean and Ghemawat, 2004, section 3.6): when nothing is left to be
taken, the shards that are still in hand decide when a job ends, and one slow machine holds up all.
Each such shard is then allowed to one further worker; the first result stands.
"""

from __future__ import annotations

import math
from collections.abc import Callable, Iterator, Mapping, Sequence
from statistics import median
from typing import Any, NamedTuple

import redis
import structlog

from regioncap.errors import UsageError
from regioncap.keys import check_job_id
from regioncap.services import due, presence
from regioncap.services.broker import queue_errors
from regioncap.services.claims import ShardName, allow_second
from regioncap.services.messages import CAPTION_TASK, Message, new_text
from regioncap.services.rounds import Rounds

#: How often one of the workers looks: as often as workers tell what they have in hand.
_PERIOD_S = 5.0
#: A holder is much slower that has had a shard for so many times what others take, and so long.
_SLOW, _LEAST_S = 2.0, 15.0

_log = structlog.get_logger("regioncap")


class Late(NamedTuple):
    """A shard whose holder is slow."""

    job: str
    shard: int
    seconds: float
    usual_s: float


class Backup:
    """Looks for late shards.

    Args:
        client: The Redis that carries the queue.
        queue: The queue that the worker takes from.
        has_room: Whether this worker would take a shard.
    """

    def __init__(self, client: redis.Redis, queue: str, has_room: Callable[[], bool]) -> None:
        self._redis = client
        self._queue = queue
        self._has_room = has_room

    def rounds(self) -> Rounds:
        """Looks every few seconds."""
        return Rounds("backup", self.look, _PERIOD_S, "late shards are not found", is_told=False)

    def look(self) -> int:
        """Allows second claims where nothing else is left to do; returns how many.

        Raises:
            QueueError: Redis is away.
        """
        if not self._has_room() or not self._is_idle():
            return 0
        allowed = 0
        for late in find_late(presence.serving(self._redis, "caption", self._queue)):
            text = new_text(Message(CAPTION_TASK, late.job, late.shard), self._queue)
            name = ShardName(late.job, "caption", late.shard)
            if allow_second(self._redis, self._queue, text, name):
                _log.warning(
                    "a shard is late: one more worker may do it",
                    job=late.job, shard=late.shard,
                    seconds=round(late.seconds), usual_s=late.usual_s,
                )  # fmt: skip
                allowed += 1
        return allowed

    def _is_idle(self) -> bool:
        """Whether nothing is left to be taken, and no other worker looks just now."""
        looks = f"regioncap:backup:{self._queue}"
        with queue_errors(), self._redis.pipeline(transaction=False) as pipe:
            pipe.llen(self._queue)
            pipe.exists(due.turns_key(self._queue))
            pipe.set(looks, "", nx=True, px=round(900 * _PERIOD_S))
            queued, has_turns, is_first = pipe.execute()
        return not queued and not has_turns and bool(is_first)


def find_late(workers: Sequence[Mapping[str, Any]]) -> Iterator[Late]:
    """The shards that have been in hand much longer than others take for one of the same job.

    Args:
        workers: What caption workers of one queue tell of themselves.
    """
    for nth, holder in enumerate(workers):
        others = [_times(each) for at, each in enumerate(workers) if at != nth]
        for job, shard, seconds in _in_hand(holder):
            known = [times[job] for times in others if job in times]
            if known and seconds >= max(_LEAST_S, _SLOW * median(known)):
                yield Late(job, shard, seconds, median(known))


def _in_hand(worker: Mapping[str, Any]) -> Iterator[tuple[str, int, float]]:
    held = worker.get("in_hand")
    for each in held if isinstance(held, list) else []:
        try:
            seconds = float(each["seconds"])
            if math.isfinite(seconds) and type(each["shard"]) is int:
                yield check_job_id(each["job"]), each["shard"], seconds
        except (LookupError, TypeError, ValueError, UsageError):
            continue  # not what workers tell


def _times(worker: Mapping[str, Any]) -> dict[str, float]:
    told = worker.get("shard_s")
    told = told if isinstance(told, dict) else {}
    return {job: s for job, s in told.items() if isinstance(s, int | float) and math.isfinite(s)}
