"""The backlog: the messages that wait in the queue or are in a worker's hands.

Reads kombu's lists and its hash of unacknowledged messages; a contract test pins their form.
"""

from __future__ import annotations

import base64
import json
import time
from collections import Counter
from collections.abc import Iterable, Iterator
from itertools import chain
from typing import Any, NamedTuple

import redis

from regioncap.keys import submitted_at
from regioncap.services.broker import queue_errors
from regioncap.services.queue import CAPTION_TASK, RENDER, RENDER_TASK

#: kombu's hash of unacknowledged messages: delivery tag -> [message, exchange, routing key].
UNACKED = "unacked"

_CHUNK = 1000
#: Where depths are kept, and for how long.
_DEPTHS = "regioncap:depths:"
_FRESH_S = 5


class Message(NamedTuple):
    """What one of our messages says."""

    task: str
    job: str
    shard: int


class Backlog(NamedTuple):
    """Shards with a message, as (job, shard)."""

    render: set[tuple[str, int]]
    caption: set[tuple[str, int]]


class Depth(NamedTuple):
    """The work of one queue."""

    #: Shards that no worker has.
    queued: int
    #: Shards in workers' hands.
    unacked: int
    #: Age of the job of the shard that is next, seconds; 0 if there is none.
    oldest_s: float


def read_backlog(client: redis.Redis, caption_queues: set[str]) -> Backlog:
    """Reads all messages.

    Args:
        client: The Redis that carries the queue.
        caption_queues: The caption queues to look into.
    """
    found = Backlog(set(), set())
    stages = {RENDER_TASK: found.render, CAPTION_TASK: found.caption}
    with queue_errors():
        for message in _messages(client, [RENDER, *sorted(caption_queues)]):
            if message.task in stages:
                stages[message.task].add((message.job, message.shard))
    return found


def read_depths(client: redis.Redis, queues: Iterable[str]) -> dict[str, Depth]:
    """How much work waits, by queue; at most a few seconds old.

    A fleet asks often; the answer is kept in Redis, so that it is worked out once for all.
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
        answers = pipe.execute()
    now = time.time()
    return {
        name: Depth(int(length), held[name], _age_s(oldest, now))
        for name, length, oldest in zip(names, answers[::2], answers[1::2], strict=True)
    }


def _age_s(text: str | None, now: float) -> float:
    """Age of the job that a message names; a job's id begins with the time of its creation."""
    message = None if text is None else _decoded(json.loads(text))
    try:
        return max(0.0, now - submitted_at(message.job).timestamp()) if message else 0.0
    except ValueError:
        return 0.0  # not a job of ours


def _messages(client: redis.Redis, queues: list[str]) -> Iterator[Message]:
    # The lists first: what a worker takes meanwhile is then seen in its hands.
    waiting = (json.loads(text) for queue in queues for text in _list(client, queue))
    in_hand = (message for message, _ in _in_hand(client))
    return filter(None, map(_decoded, chain(waiting, in_hand)))


def _list(client: redis.Redis, queue: str) -> Iterator[str]:
    # From the end that messages come in at: what moves meanwhile is read twice, never missed.
    start = 0
    while texts := client.lrange(queue, start, start + _CHUNK - 1):
        yield from texts  # type: ignore[misc]  # redis-py types it for its asynchronous client too
        start += _CHUNK


def _in_hand(client: redis.Redis) -> Iterator[tuple[dict[str, Any], str]]:
    """The messages in workers' hands, and the queues that they came from."""
    for _, text in client.hscan_iter(UNACKED, count=_CHUNK):
        message, _, queue = json.loads(text)
        yield message, queue


def _decoded(message: dict[str, Any]) -> Message | None:
    """What a message says; None if it is not one of ours."""
    try:
        _, kwargs, _ = json.loads(base64.b64decode(message["body"]))
        return Message(message["headers"]["task"], str(kwargs["job"]), int(kwargs["shard"]))
    except (ValueError, KeyError, TypeError):
        return None
