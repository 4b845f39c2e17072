"""The backlog: shards in a queue, in a worker's hands, beside a queue, or due for it.

Reads kombu's lists and its hash of unacknowledged messages; a contract test pins their form.
"""

from __future__ import annotations

import json
import time
from collections import Counter
from collections.abc import Iterable, Iterator, Mapping
from itertools import chain
from typing import NamedTuple

import redis

from regioncap.keys import submitted_at
from regioncap.records import Stage
from regioncap.services import due, waits
from regioncap.services.broker import queue_errors
from regioncap.services.claims import UNACKED
from regioncap.services.feeder import room_for_captions, shared_mark, standings
from regioncap.services.messages import (
    CAPTION_TASK,
    RENDER,
    RENDER_TASK,
    Message,
    NoMessageError,
    is_no_list,
    parse,
)

_CHUNK = 1000
#: Where depths are kept, and for how long; the version before has shorter ones under its own name.
_DEPTHS = "regioncap:depths:due:"
_FRESH_S = 5


class Backlog(NamedTuple):
    """Shards that are with a worker, or come to one by themselves, as (job, shard)."""

    render: set[tuple[str, int]]
    caption: set[tuple[str, int]]
    #: Those that are due of the jobs that were asked for, as bitmaps by job and stage.
    due: Mapping[tuple[str, Stage], bytes] = {}

    def shards(self, job: str, stage: Stage) -> set[int]:
        """The shards of a job that are with a worker of a stage or come to one, due ones too."""
        found = self.render if stage == "render" else self.caption
        bits = self.due.get((job, stage), b"")
        return {shard for name, shard in found if name == job}.union(due.numbers(bits))


class Depth(NamedTuple):
    """The work of one queue."""

    #: Shards that no worker has.
    queued: int
    #: Shards in workers' hands.
    unacked: int
    #: Age of the job of the shard that is next, seconds; 0 if there is none.
    oldest_s: float
    #: Shards that wait for a time before they are queued again.
    waiting: int = 0
    #: Shards that follow into the queue as soon as it has room.
    due: int = 0
    #: Shards that follow later: their job has its window full, or captions lag behind.
    paused: int = 0
    #: Of a caption queue, shards of its jobs that are to be drawn first and are not sent yet.
    undrawn: int = 0


def read_backlog(
    client: redis.Redis, caption_queues: set[str], jobs: Iterable[str] = ()
) -> Backlog:
    """Reads all messages, and what waits to become one.

    Few are in the lists, as feeding keeps them short; what workers of the version before have sent
    may be many. Beside the queue wait no more than a window of each job.

    Args:
        client: The Redis that carries the queue.
        caption_queues: The caption queues to look into.
        jobs: Whose shards that are due are read as well.
    """
    # First: what is put into a queue meanwhile is then seen there.
    both: tuple[Stage, Stage] = ("render", "caption")
    bits = {(job, stage): due.bitmap(client, job, stage) for job in jobs for stage in both}
    found = Backlog(set(), set(), bits)
    stages = {RENDER_TASK: found.render, CAPTION_TASK: found.caption}
    with queue_errors():
        for message in _messages(client, [RENDER, *sorted(caption_queues)]):
            if message.task in stages:
                stages[message.task].add((message.job, message.shard))
        # Last: what a worker has in hand may go there meanwhile.
        found.render.update(waits.delayed(client, RENDER))
        for queue in sorted(caption_queues):
            found.caption.update(waits.delayed(client, queue))
    return found


def read_depths(client: redis.Redis, queues: Iterable[str]) -> dict[str, Depth]:
    """How much work waits, by queue."""
    with queue_errors():
        return _depths(client, sorted(set(queues)))


def shared_depths(client: redis.Redis, queues: Iterable[str]) -> dict[str, Depth]:
    """How much work waits, by queue; at most a few seconds old.

    A fleet of workers asks often; the answer is kept in Redis, so that it is worked out once for
    all. Who may not write there reads `read_depths`.
    """
    names = sorted(set(queues))
    key = _DEPTHS + ",".join(names)
    with queue_errors():
        kept = client.get(key)
        if kept is None:
            found = _depths(client, names)
            client.set(key, json.dumps(found), ex=_FRESH_S)
            return found
    return {name: Depth(*values) for name, values in json.loads(str(kept)).items()}


def _depths(client: redis.Redis, names: list[str]) -> dict[str, Depth]:
    held = Counter(queue for _, queue in _in_hand(client))
    with client.pipeline(transaction=False) as pipe:
        for name in names:
            pipe.llen(name)
            pipe.lindex(name, -1)  # messages go in at the head and out at the tail
            waits.count_delayed(pipe, [name])
        answers = pipe.execute(raise_on_error=False)
    now, following = time.time(), _following(client, names)
    return {
        name: Depth(
            _count(length), held[name], _age_s(name, oldest, now), _count(waiting), *following[name]
        )
        for name, length, oldest, waiting in zip(
            names, answers[::3], answers[1::3], answers[2::3], strict=True
        )
    }


def _following(client: redis.Redis, names: list[str]) -> dict[str, tuple[int, int, int]]:
    """What is due, paused and undrawn of each queue."""
    to_draw = list(standings(client, RENDER))
    undrawn = Counter[str]()
    for each in to_draw:
        undrawn[each.queue] += each.due
    may_follow = 0
    for queue in undrawn:
        mine = [each for each in to_draw if each.queue == queue]
        most = sum(max(0, min(each.due, each.window - each.under_way)) for each in mine)
        room = room_for_captions(client, queue, shared_mark(client, queue)) if queue else most
        may_follow += max(0, min(most, room))
    found = {}
    for name in names:
        if name == RENDER:
            found[name] = may_follow, undrawn.total() - may_follow, 0
        else:
            found[name] = sum(each.due for each in standings(client, name)), 0, undrawn[name]
    return found


def _count(answer: object) -> int:
    """An answer as a number; the one for a key of another kind is an error."""
    return answer if isinstance(answer, int) else 0


def _age_s(queue: str, text: object, now: float) -> float:
    """Age of the job that a message names; a job's id begins with the time of its creation."""
    message = _parsed(text, queue) if isinstance(text, str) else None
    return 0.0 if message is None else max(0.0, now - submitted_at(message.job).timestamp())


def _messages(client: redis.Redis, queues: list[str]) -> Iterator[Message]:
    # The lists first: what a worker takes meanwhile is then seen in its hands.
    waiting = (_parsed(text, queue) for queue in queues for text in _list(client, queue))
    in_hand = (_parsed(text, queue) for text, queue in _in_hand(client))
    return filter(None, chain(waiting, in_hand))


def _list(client: redis.Redis, queue: str) -> Iterator[str]:
    # From the end that messages come in at: what moves meanwhile is read twice, never missed.
    start = 0
    try:
        while texts := client.lrange(queue, start, start + _CHUNK - 1):
            yield from texts  # type: ignore[misc]  # redis-py types its asynchronous client too
            start += _CHUNK
    except redis.exceptions.ResponseError as error:
        if not is_no_list(error):
            raise  # else the workers remove it


def _in_hand(client: redis.Redis) -> Iterator[tuple[str, str]]:
    """The messages in workers' hands, and the queues that they came from."""
    for _, text in client.hscan_iter(UNACKED, count=_CHUNK):
        message, _, queue = json.loads(text)
        yield json.dumps(message), queue


def _parsed(text: str, queue: str) -> Message | None:
    """What a message says; None if it is not one of ours."""
    try:
        return parse(text, queue)
    except NoMessageError:
        return None
