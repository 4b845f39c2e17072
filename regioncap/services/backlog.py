"""The backlog: which shards have a message in the queue or in a worker's hands.

Reads kombu's lists and its hash of unacknowledged messages; a contract test pins their form.
"""

from __future__ import annotations

import base64
import json
from collections.abc import Iterator
from typing import NamedTuple

import redis

from regioncap.services.broker import queue_errors
from regioncap.services.queue import CAPTION_TASK, RENDER, RENDER_TASK

#: kombu's hash of unacknowledged messages: delivery tag -> [message, exchange, routing key].
UNACKED = "unacked"

_CHUNK = 1000


class Backlog(NamedTuple):
    """Shards with a message, as (job, shard)."""

    render: set[tuple[str, int]]
    caption: set[tuple[str, int]]


def read_backlog(client: redis.Redis, caption_queues: set[str]) -> Backlog:
    """Reads all messages.

    Args:
        client: The Redis that carries the queue.
        caption_queues: The caption queues to look into.
    """
    found = Backlog(set(), set())
    stages = {RENDER_TASK: found.render, CAPTION_TASK: found.caption}
    with queue_errors():
        # The lists first: what a worker takes meanwhile is then seen in its hands.
        for queue in [RENDER, *sorted(caption_queues)]:
            for text in _list(client, queue):
                _note(json.loads(text), stages)
        for _, text in client.hscan_iter(UNACKED, count=_CHUNK):
            _note(json.loads(text)[0], stages)
    return found


def _list(client: redis.Redis, queue: str) -> Iterator[str]:
    # From the end that messages come in at: what moves meanwhile is read twice, never missed.
    start = 0
    while texts := client.lrange(queue, start, start + _CHUNK - 1):
        yield from texts  # type: ignore[misc]  # redis-py types it for its asynchronous client too
        start += _CHUNK


def _note(message: dict[str, object], stages: dict[str, set[tuple[str, int]]]) -> None:
    headers, body = message.get("headers"), message.get("body")
    if not isinstance(headers, dict) or headers.get("task") not in stages:
        return
    _, kwargs, _ = json.loads(base64.b64decode(str(body)))
    stages[headers["task"]].add((str(kwargs["job"]), int(kwargs["shard"])))
