"""The feeder: puts shards that are due into their queues, a few seconds of work at a time.

A queue is kept short, so that a small job behind a large one waits seconds. How short follows from
the workers that live: what they can take at once, or what they do in a few seconds. Any number of
processes feed, as often as they like: whoever submits, workers each second and whenever they take
a shard, and janitors.

What is on its way is bounded: of each job a window of shards that are sent and not done, and no
more pictures drawn ahead than captions keep up with.
"""

from __future__ import annotations

import logging
import math
import time
from collections import Counter
from collections.abc import Callable, Iterable, Iterator, Mapping
from contextlib import suppress
from heapq import heapify, heappop, heappush
from typing import Any, NamedTuple

import redis

from regioncap.errors import QueueError
from regioncap.keys import is_job_id
from regioncap.records import Stage
from regioncap.services import due, presence
from regioncap.services.broker import answers_of, is_wrong_type, queue_errors
from regioncap.services.messages import (
    CAPTION_TASK,
    RENDER,
    RENDER_TASK,
    Message,
    is_ours,
    new_text,
)
from regioncap.services.progress import parts_key

_MARK = "regioncap:mark:"
_FRESH_S = 5
#: A queue holds what workers do in so many seconds, and not fewer or more shards than these.
_WORK_S = 2.0
_LEAST, _MOST = 4, 10_000
#: Drawn ahead of captions are so many times what a caption queue holds, and not fewer shards.
_AHEAD, _LEAST_AHEAD = 4, 16
#: Shards of each job that are drawn however long others' wait for captions.
_FEW = 4
#: Jobs that are looked at together.
_JOBS_AT_A_TIME = 64
#: After a look at jobs of which none could be fed.
_PAUSE_S = 1.0

_log = logging.getLogger(__name__)


class Standing(NamedTuple):
    """A job that has shards due for a queue."""

    job: str
    #: Lower ones go first; see `regioncap.services.due`.
    score: float
    due: int
    #: Shards that were sent to be drawn and have no results yet, and how many may be so. Where
    #: captions are due there is no limit: what is drawn is limited.
    under_way: int = 0
    window: int = _MOST
    #: The job's caption queue.
    queue: str = ""


class Feeder:
    """Feeds queues; for any thread.

    Args:
        client: The Redis that carries the queues.
        clock: Seconds, never going back.
    """

    def __init__(self, client: redis.Redis, clock: Callable[[], float] = time.monotonic) -> None:
        self._redis = client
        self._clock = clock
        #: Marks of queues, and until when they hold.
        self._marks: dict[str, tuple[int, float]] = {}
        self._idle_until_s: dict[str, float] = {}

    def feed_all(self) -> None:
        """Feeds all queues that jobs take turns at; one whose keys hold something else is left.

        Raises:
            QueueError: Redis is away.
        """
        for queue in sorted(due.queues(self._redis)):
            try:
                self.feed(queue)
            except QueueError as error:
                if not is_wrong_type(error.__cause__):
                    raise
                _log.warning("the queue %s is not fed: %s", queue, error)

    def after_taking(self, queue: str) -> None:
        """Feeds a queue that a shard was taken from, unless there was nothing to feed just now.

        Whatever goes wrong, the shard that was taken is to be done.
        """
        if self._clock() >= self._idle_until_s.get(queue, 0.0):
            try:
                self.feed(queue)
            except QueueError as error:  # others do it, or this worker in a second
                _log.debug("the queue is not fed: %s", error)
            except Exception:
                _log.exception("the queue %s cannot be fed", queue)

    def feed(self, queue: str) -> int:
        """Fills a queue that is less than half full; returns how many shards that were.

        Raises:
            QueueError: Redis is away.
        """
        with queue_errors():
            with self._redis.pipeline(transaction=False) as pipe:
                pipe.llen(queue)
                pipe.exists(due.turns_key(queue))
                length, has_turns = pipe.execute()
            if not has_turns:
                return 0
            mark = self._mark(queue)
            if length >= max(1, mark // 2):
                return 0
            fed = self._fill(queue, mark, mark - length)
        if not fed:
            self._idle_until_s[queue] = self._clock() + _PAUSE_S
        return fed

    def _fill(self, queue: str, mark: int, room: int) -> int:
        found, empty, budgets = list[Standing](), list[Standing](), dict[str, int]()
        for each in standings(self._redis, queue):
            if each.queue and each.queue not in budgets:
                captions_mark = self._mark(each.queue)
                budgets[each.queue] = room_for_captions(self._redis, each.queue, captions_mark)
            if not each.due:
                empty.append(each)
            elif _may_follow(each, 0, budgets):
                found.append(each)
            if len(found) >= room:
                break
        chosen = choose(found, room, budgets)
        if not chosen and not empty:
            return 0
        stage: Stage = "render" if queue == RENDER else "caption"
        turns = [(each.job, each.score) for each in (*found, *empty)]
        return due.put(self._redis, queue, mark, turns, self._messages(queue, stage, chosen))

    def _messages(
        self, queue: str, stage: Stage, chosen: list[str]
    ) -> Iterator[tuple[str, int, str]]:
        task = RENDER_TASK if stage == "render" else CAPTION_TASK
        next_shards = {
            job: iter(due.first_shards(self._redis, job, stage, most))
            for job, most in Counter(chosen).items()
        }
        for job in chosen:
            if (shard := next(next_shards[job], None)) is not None:
                yield job, shard, new_text(Message(task, job, shard), queue)

    def _mark(self, queue: str) -> int:
        mark, until_s = self._marks.get(queue, (0, -math.inf))
        if self._clock() >= until_s:
            mark = shared_mark(self._redis, queue)
            self._marks[queue] = mark, self._clock() + _FRESH_S
        return mark


def choose(found: Iterable[Standing], room: int, budgets: Mapping[str, int]) -> list[str]:
    """The jobs whose shards come next, each as often as it has a turn.

    Args:
        found: The jobs that have shards due.
        room: How many shards there is room for.
        budgets: How many shards may be drawn ahead, by caption queue; of what is not named, any
            number.
    """
    left = dict(budgets)
    jobs = [(each.score, nth, each, 0) for nth, each in enumerate(found)]
    heapify(jobs)
    # Behind all others, of its own priority at least: scores of others are far away.
    last = {_band(score): score for score, *_ in sorted(jobs)}
    chosen: list[str] = []
    while jobs and len(chosen) < room:
        _, nth, each, taken = heappop(jobs)
        if taken >= each.due or not _may_follow(each, taken, left):
            continue
        if each.queue in left:
            left[each.queue] -= 1
        chosen.append(each.job)
        last[_band(each.score)] += 1
        heappush(jobs, (last[_band(each.score)], nth, each, taken + 1))
    return chosen


def _may_follow(each: Standing, taken: int, budgets: Mapping[str, int]) -> bool:
    """Whether another shard of a job may be on its way, besides so many that are chosen."""
    under_way = each.under_way + taken
    if under_way >= each.window:
        return False
    return under_way < _FEW or budgets.get(each.queue, 1) > 0


def _band(score: float) -> int:
    return int(score // due.BAND)


def standings(client: redis.Redis, queue: str) -> Iterator[Standing]:
    """The jobs that have shards due for a queue, those whose turn is next first.

    Whoever submits writes what is read here: what cannot be meant is passed over, or set right.
    """
    start = 0
    while turns := _turns(client, queue, start):
        start += len(turns)
        ours = [(job, min(max(score, 0.0), due.LAST)) for job, score in turns if is_job_id(job)]
        if ours:
            yield from _standings(client, queue, ours)


def _turns(client: redis.Redis, queue: str, start: int) -> list[tuple[str, float]]:
    end = start + _JOBS_AT_A_TIME - 1
    found: Any = client.zrange(due.turns_key(queue), start, end, withscores=True)
    return [(job, float(score)) for job, score in found]


def _standings(
    client: redis.Redis, queue: str, turns: list[tuple[str, float]]
) -> Iterator[Standing]:
    stage: Stage = "render" if queue == RENDER else "caption"
    with client.pipeline(transaction=False) as pipe:
        for job, _ in turns:
            pipe.bitcount(due.bits_key(job, stage))
            pipe.hmget(due.job_key(job), ["queue", "shards", "window"])
            pipe.hlen(parts_key(job))
        answers = answers_of(pipe)
    for (job, score), *said in zip(turns, answers[::3], answers[1::3], answers[2::3], strict=True):
        if None not in said:
            yield _standing(job, score, said, is_drawing=queue == RENDER)


def _standing(job: str, score: float, said: list[Any], *, is_drawing: bool) -> Standing:
    bits, (caption_queue, shards, window), done = said
    known = [each is not None and each.isdecimal() and len(each) < 10 for each in (shards, window)]
    if not is_drawing or not all(known) or not is_ours(str(caption_queue)):
        return Standing(job, score, bits)
    under_way = max(0, int(shards) - bits - done)
    return Standing(job, score, bits, under_way, int(window), caption_queue)


def room_for_captions(client: redis.Redis, queue: str, mark: int) -> int:
    """How many more shards may be drawn ahead for a caption queue."""
    return max(_LEAST_AHEAD, _AHEAD * mark) - _awaits_captions(client, queue)


def _awaits_captions(client: redis.Redis, queue: str) -> int:
    jobs: Any = client.zrange(due.turns_key(queue), 0, -1)
    with client.pipeline(transaction=False) as pipe:
        pipe.llen(queue)
        for job in jobs:
            pipe.bitcount(due.bits_key(job, "caption"))
        return sum(filter(None, answers_of(pipe)))


def shared_mark(client: redis.Redis, queue: str) -> int:
    """Up to which length a queue is filled, as its workers were a few seconds ago at most.

    A fleet asks often; the answer is kept in Redis, so that it is worked out once for all.
    """
    kept = client.get(_MARK + queue)
    if kept is not None and str(kept).isdecimal():
        return int(kept)
    mark = mark_for(presence.serving(client, "render" if queue == RENDER else "caption", queue))
    with suppress(redis.exceptions.NoPermissionError):  # of who only looks
        client.set(_MARK + queue, str(mark), ex=_FRESH_S)
    return mark


def mark_for(workers: Iterable[dict[str, Any]]) -> int:
    """Up to which length a queue is filled for workers, by what they tell of themselves."""
    free, per_s = 0.0, 0.0
    for worker in workers:
        held, rates = worker.get("in_hand"), worker.get("per_s")
        free += max(0, _number(worker.get("room")) - len(held if isinstance(held, list) else []))
        per_s += _number(rates.get("shards") if isinstance(rates, dict) else 0)
    return min(_MOST, max(_LEAST, math.ceil(free), math.ceil(_WORK_S * per_s)))


def _number(told: object) -> float:
    """A number that a worker told; 0 for what is none."""
    if not isinstance(told, int | float) or not math.isfinite(told):
        return 0.0
    return float(min(max(0.0, told), _MOST))
