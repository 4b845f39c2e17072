"""Waits: shards that nobody takes before a time, and why they wait.

A shard that has to wait leaves its worker, for a sorted set beside its queue; workers put it back
into the queue when its time has come. Why it waits is kept by job, for people. Each time it has to
wait again for the same cause it waits twice as long.

A job whose shards have to wait one after the other, and none is well between, waits as a whole: its
other shards go beside the queue untried, and one at a time is tried. So a sick job backs off alone,
and others go on at full rate.

What is lost with Redis is time alone: reconciling sends what is in no queue and not in here.
"""

from __future__ import annotations

import json
import logging
from collections import Counter
from collections.abc import Iterable, Iterator
from typing import Any, NamedTuple

import redis

from regioncap.errors import UsageError
from regioncap.keys import check_job_id
from regioncap.records import Stage
from regioncap.services.broker import queue_errors, server_time
from regioncap.services.messages import CAPTION_TASK, RENDER, RENDER_TASK, Message, new_text

#: The first pause, and the longest.
_FIRST_S, _LONGEST_S = 1.0, 15.0
#: So many waits in a row, in pauses one after the other, hold the whole job.
_IN_A_ROW = 2
#: Notes that nobody touches are dropped.
_KEPT_S = 7 * 24 * 3600
#: A wait that was over this long ago is no news: the shard is in the queue, or done elsewhere.
_STALE_S = 60.0
_MAX_REASON_CHARS = 300
#: Shards that are put back at a time.
_AT_A_TIME = 100
#: The field of a job's hash that tells of all its shards; the others are numbers of shards.
_JOB = "job"

# What is put back leaves the set in the same step: two that do it at once put it back once.
_PUT_BACK = """
local back = 0
for i = 1, #ARGV, 2 do
  if redis.call('ZSCORE', KEYS[1], ARGV[i]) then
    redis.call('LPUSH', KEYS[2], ARGV[i + 1])
    redis.call('ZREM', KEYS[1], ARGV[i])
    back = back + 1
  end
end
return back
"""

_log = logging.getLogger(__name__)


class Wait(NamedTuple):
    """Why shards of a job wait."""

    stage: Stage
    code: str
    reason: str
    #: When it began, and when they are tried again; seconds since the epoch, by Redis's clock.
    since: float
    until: float


class Look(NamedTuple):
    """What is known of a shard before it begins."""

    #: Until when it waits, since another message brought it here, or its whole job does; or 0.
    held_until: float
    #: How often the shard has waited since it was well last, by the cause's code.
    tries: dict[str, int]

    def tries_of(self, code: str) -> int:
        """How often the shard has waited for this cause."""
        return self.tries.get(code, 0)


def back_off_s(tries: int) -> float:
    """How long to wait after so many tries: twice as long each time, up to a limit."""
    return float(min(_LONGEST_S, _FIRST_S * 2.0 ** min(max(0, tries - 1), 10)))


class Waits:
    """Shards of one job that wait at one stage.

    Args:
        client: The Redis that carries the queue.
        job: The job.
        stage: `render` or `caption`.
        queue: The queue that the shards come from, and go back to.
    """

    def __init__(self, client: redis.Redis, job: str, stage: Stage, queue: str) -> None:
        self._redis = client
        self._job = job
        self._key = _reasons(job, stage)
        self._later = _later(queue)

    def look(self, shard: int) -> Look:
        """What is known of a shard; where its job waits and it is its turn, it is to be tried."""
        now, own, job = self._read(shard)
        held_until = _later_than(now, own)
        if not held_until and job.get("in_a_row", 0) >= _IN_A_ROW:
            held_until = _later_than(now, job)
            if not held_until:
                # The others wait for what becomes of this one.
                tried = {"until": now + back_off_s(job["in_a_row"]), "is_tried": True}
                with queue_errors():
                    self._redis.hset(self._key, _JOB, json.dumps({**job, **tried}))
        return Look(held_until, own.get("tries", {}))

    def put(
        self, shard: int, code: str, reason: str, *, pause_s: float = 0.0, of_job: bool = False
    ) -> float:
        """Has a shard wait; returns for how long, in seconds.

        Args:
            shard: The shard.
            code: The cause, as an error's code.
            reason: The cause in words, for people.
            pause_s: How long; by default longer each time.
            of_job: Whether it is a cause for the whole job to wait, if it comes in a row.
        """
        now, own, job = self._read(shard)
        # Each cause is counted by itself: two that take turns would have no end otherwise. What two
        # messages of one shard find at the same time is one.
        tries = Counter(own.get("tries", {}))
        if not tries[code] or not _later_than(now, own):
            tries[code] += 1
        pause_s = pause_s or back_off_s(tries[code])
        note = {
            "code": code, "reason": reason[:_MAX_REASON_CHARS], "tries": tries,
            "since": own["since"] if own.get("code") == code else now, "until": now + pause_s,
        }  # fmt: skip
        notes: dict[Any, str] = {str(shard): json.dumps(note)}
        # Those that come together, or before the pause is over, are one.
        if of_job and (now >= job.get("until", 0.0) or job.get("is_tried")):
            in_a_row = job.get("in_a_row", 0) + 1
            of_all = {
                "in_a_row": in_a_row, "until": now + back_off_s(in_a_row),
                "since": job["since"] if job.get("code") == code else now,
            }  # fmt: skip
            notes[_JOB] = json.dumps(note | of_all)
        with queue_errors(), self._redis.pipeline() as pipe:
            pipe.hset(self._key, mapping=notes)
            pipe.expire(self._key, _KEPT_S)
            pipe.zadd(self._later, {_member(self._job, shard): now + pause_s})
            pipe.execute()
        return pause_s

    def hold(self, shard: int, until: float) -> None:
        """Has a shard wait until a time by Redis's clock, for no cause of its own."""
        with queue_errors():
            self._redis.zadd(self._later, {_member(self._job, shard): until})

    def pause(self, shard: int, pause_s: float) -> None:
        """As `hold`, for a time."""
        with queue_errors():
            self.hold(shard, server_time(self._redis) + pause_s)

    def forget(self, shard: int) -> None:
        """Notes that a shard waits no more, and that its job is well."""
        with queue_errors():
            self._redis.hdel(self._key, str(shard), _JOB)

    def _read(self, shard: int) -> tuple[float, dict[str, Any], dict[str, Any]]:
        """The time, and what is noted of a shard and of its job."""
        with queue_errors(), self._redis.pipeline(transaction=False) as pipe:
            pipe.time()
            pipe.hmget(self._key, [str(shard), _JOB])
            (seconds, micros), (own, job) = pipe.execute()
        return int(seconds) + int(micros) / 1e6, _noted(own), _noted(job)


def put_back(client: redis.Redis, queue: str) -> int:
    """Puts shards whose time has come back into their queue; returns how many there were.

    Any number of processes may do it, as often as they like.

    Raises:
        QueueError: Redis is away.
    """
    later = _later(queue)
    with queue_errors():
        due: Any = client.zrange(
            later, "-inf", server_time(client), byscore=True, offset=0, num=_AT_A_TIME
        )
        if not due:
            return 0
        messages = []
        for member in due:
            found = _shard(member)
            if found is None:
                client.zrem(later, member)
                continue
            message = Message(RENDER_TASK if queue == RENDER else CAPTION_TASK, *found)
            messages += [member, new_text(message, queue)]
        return int(client.eval(_PUT_BACK, 2, later, queue, *messages))


def waiting(client: redis.Redis, job: str, *, now: float | None = None) -> list[Wait]:
    """Why shards of a job wait, one for each stage and cause; the oldest first.

    Args:
        client: The Redis that carries the queue.
        job: The job.
        now: The time by Redis's clock; read if not given.
    """
    found: dict[tuple[str, str], Wait] = {}
    with queue_errors():
        now = server_time(client) if now is None else now
        for stage in ("render", "caption"):
            for _, text in client.hscan_iter(_reasons(job, stage), count=1000):
                wait = _wait(stage, text)
                if wait is None or wait.until < now - _STALE_S:
                    continue
                before = found.get((stage, wait.code), wait)
                found[stage, wait.code] = min(before, wait, key=lambda each: each.since)
    return sorted(found.values(), key=lambda wait: wait.since)


def delayed(client: redis.Redis, queue: str) -> Iterator[tuple[str, int]]:
    """Job and shard of all that wait beside a queue."""
    for member, _ in client.zscan_iter(_later(queue), count=1000):
        if (found := _shard(member)) is not None:
            yield found


def count_delayed(pipe: Any, queues: Iterable[str]) -> None:
    """Asks in a pipeline how many shards wait beside each queue."""
    for queue in queues:
        pipe.zcard(_later(queue))


def _later(queue: str) -> str:
    return f"regioncap:later:{queue}"


def _reasons(job: str, stage: str) -> str:
    return f"regioncap:{job}:waits:{stage}"


def _member(job: str, shard: int) -> str:
    return f"{job}:{shard}"


def _shard(member: str) -> tuple[str, int] | None:
    """Job and shard of a member; None if it is none of ours."""
    job, _, shard = member.rpartition(":")
    try:
        return check_job_id(job), int(shard)
    except (ValueError, UsageError):
        _log.warning("dropped from what waits, being no shard")
        return None


def _later_than(now: float, note: dict[str, Any]) -> float:
    """Until when a note has something wait; 0 if that time has come."""
    until = float(note.get("until", 0.0))
    return until if until > now else 0.0


def _noted(text: str | None) -> dict[str, Any]:
    try:
        noted = json.loads(text or "{}")
    except ValueError:
        return {}
    return noted if isinstance(noted, dict) else {}


def _wait(stage: Stage, text: str) -> Wait | None:
    noted = _noted(text)
    try:
        return Wait(stage, noted["code"], noted["reason"], noted["since"], noted["until"])
    except KeyError:
        return None
