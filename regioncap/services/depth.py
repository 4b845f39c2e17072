"""How much work waits, by queue: one look at Redis, shared by all who ask within a few seconds."""

from __future__ import annotations

import base64
import json
import time
from collections import Counter
from collections.abc import Iterable
from typing import Any, NamedTuple

import redis

from regioncap.keys import submitted_at
from regioncap.services.broker import queue_errors

_UNACKED = "unacked"
_CACHE = "regioncap:depths:"
_FRESH_S = 5


class Depth(NamedTuple):
    """The work of one queue."""

    #: Shards that no worker has.
    queued: int
    #: Shards in workers' hands.
    unacked: int
    #: Age of the job of the shard that is next, seconds; 0 if there is none.
    oldest_s: float


def read_depths(client: redis.Redis, queues: Iterable[str]) -> dict[str, Depth]:
    """The depths of some queues, at most a few seconds old.

    A fleet asks often; the answer is kept in Redis, so that it is worked out once for all.
    """
    names = sorted(set(queues))
    key = _CACHE + ",".join(names)
    with queue_errors():
        kept = client.get(key)
        if kept is None:
            found = _read(client, names)
            client.set(key, json.dumps(found), ex=_FRESH_S)
            return found
    return {name: Depth(*values) for name, values in json.loads(str(kept)).items()}


def memory_ratio(client: redis.Redis) -> float | None:
    """Share of Redis's memory that is used, 0 to 1; None if it has no limit."""
    with queue_errors():
        info: Any = client.info("memory")
    limit = int(info.get("maxmemory", 0))
    return int(info["used_memory"]) / limit if limit else None


def _read(client: redis.Redis, names: list[str]) -> dict[str, Depth]:
    held = Counter(str(json.loads(text)[2]) for _, text in client.hscan_iter(_UNACKED, count=1000))
    with client.pipeline(transaction=False) as pipe:
        for name in names:
            pipe.llen(name)
            pipe.lindex(name, -1)  # messages go in at the head and out at the tail
        answers = pipe.execute()
    now = time.time()
    return {
        name: Depth(int(answers[2 * i]), held[name], _age_s(answers[2 * i + 1], now))
        for i, name in enumerate(names)
    }


def _age_s(message: str | None, now: float) -> float:
    """Age of the job that a message names; a job's id begins with the time of its creation."""
    if message is None:
        return 0.0
    try:
        body: Any = json.loads(base64.b64decode(json.loads(message)["body"]))
        created = submitted_at(body[1]["job"])
    except (ValueError, KeyError, TypeError, IndexError):
        return 0.0  # not one of our messages
    return max(0.0, now - created.timestamp())
