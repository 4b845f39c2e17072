"""Claims: who does a shard, so that a second message about it costs nothing.

    regioncap:claim:<job>:<stage>:<shard>     the delivery whose shard is being done

A claim holds for as long as its delivery is noted as in hand, which the lease on it decides:
whatever gives the message back, be it its worker, the end of that, or others who find it silent,
frees the shard in the same step. A delivery of which Redis knows nothing any more, since it lost
its data or gave the message away while its worker was silent, is claimed anew by whoever still does
the shard, and such a claim holds for the visibility timeout.

A claim saves time and nothing else: two workers that do the same shard make one result. What is
lost with Redis, or not known to workers of an earlier version, is done twice.
"""

from __future__ import annotations

from contextlib import suppress
from typing import Any

import redis

from regioncap.records import Stage
from regioncap.services.broker import queue_errors

#: kombu's hash of unacknowledged messages: delivery tag -> [message, exchange, routing key].
UNACKED = "unacked"
#: Claims that nobody touches are dropped.
_KEPT_MS = 7 * 24 * 3600 * 1000

# A value is a delivery's tag; one that Redis does not know as in hand has a mark before it.
_HOLDS = """
local function holds(holder)
  return holder and (string.sub(holder, 1, 1) == '!'
    or redis.call('HEXISTS', KEYS[2], holder) == 1)
end
local holder = redis.call('GET', KEYS[1])
"""
_TAKE = (
    _HOLDS
    + """
local tag = ARGV[1]
if holder ~= tag and holder ~= '!' .. tag and holds(holder) then return 0 end
if redis.call('HEXISTS', KEYS[2], tag) == 1 then
  redis.call('SET', KEYS[1], tag, 'PX', ARGV[3])
else
  redis.call('SET', KEYS[1], '!' .. tag, 'PX', ARGV[2])
end
return 1
"""
)
_IS_TAKEN = _HOLDS + "return holds(holder) and 1 or 0"
_RELEASE = """
local holder = redis.call('GET', KEYS[1])
if holder == ARGV[1] or holder == '!' .. ARGV[1] then return redis.call('DEL', KEYS[1]) end
return 0
"""


class Claim:
    """One delivery's claim on the shard that it is about.

    Args:
        client: The Redis that carries the queue.
        job: The job.
        stage: `render` or `caption`.
        shard: The shard.
        tag: What the queue knows the delivery by.
        timeout_s: The visibility timeout.
    """

    def __init__(
        self,
        client: redis.Redis,
        job: str,
        stage: Stage,
        shard: int,
        tag: str,
        *,
        timeout_s: float,
    ) -> None:
        self._redis = client
        self._key = _key(job, stage, shard)
        self._tag = tag
        self._timeout_ms = max(1, round(1000 * timeout_s))
        self._is_held = False

    def take(self) -> bool:
        """Claims the shard, if no other delivery holds it; done again, nothing changes.

        Raises:
            QueueError: Redis is away.
        """
        with queue_errors():
            self._is_held = self._ask(_TAKE, self._tag, self._timeout_ms, _KEPT_MS)
        return self._is_held

    def keep(self) -> None:
        """Claims the shard anew where Redis may have lost the claim; not if it was released.

        Raises:
            redis.RedisError: Redis is away.
        """
        if self._is_held:
            self._ask(_TAKE, self._tag, self._timeout_ms, _KEPT_MS)
            if not self._is_held:  # released meanwhile
                self._release()

    def release(self) -> None:
        """Frees the shard; where Redis is away, the end of the delivery does."""
        if self._is_held:
            self._is_held = False
            self._release()

    def _release(self) -> None:
        with suppress(redis.exceptions.RedisError, OSError):
            self._redis.eval(_RELEASE, 1, self._key, self._tag)

    def _ask(self, script: str, *arguments: Any) -> bool:
        return bool(self._redis.eval(script, 2, self._key, UNACKED, *arguments))


def is_claimed(client: redis.Redis, job: str, stage: Stage, shard: int) -> bool:
    """Whether somebody does the shard.

    Raises:
        QueueError: Redis is away.
    """
    with queue_errors():
        return bool(client.eval(_IS_TAKEN, 2, _key(job, stage, shard), UNACKED))


def _key(job: str, stage: Stage, shard: int) -> str:
    return f"regioncap:claim:{job}:{stage}:{shard}"
