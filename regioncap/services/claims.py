"""Claims: who does a shard, so that a second message about it costs nothing.

    regioncap:claim:<job>:<stage>:<shard>     the delivery whose shard is being done
    regioncap:claim:<job>:<stage>:<shard>:2   one more that may do it, or none yet

A claim holds for as long as its delivery is noted as in hand, which the lease on it decides:
whatever gives the message back, be it its worker, the end of that, or others who find it silent,
frees the shard in the same step. A delivery of which Redis knows nothing any more, since it lost
its data or gave the message away while its worker was silent, is claimed anew by whoever still does
the shard, and such a claim holds for the visibility timeout.

Where the holder of one of the last shards is slow, a second claim is allowed (`workers.backup`):
one further delivery does the shard, and the first result stands.

A claim saves time and nothing else: two workers that do the same shard make one result. What is
lost with Redis, or not known to workers of an earlier version, is done twice.
"""

from __future__ import annotations

from contextlib import suppress
from typing import NamedTuple

import redis

from regioncap.records import Stage
from regioncap.services.broker import queue_errors

#: kombu's hash of unacknowledged messages: delivery tag -> [message, exchange, routing key].
UNACKED = "unacked"
#: Claims that nobody touches are dropped, and second ones that nobody has taken.
_KEPT_MS = 7 * 24 * 3600 * 1000
_ALLOWED_MS = 600 * 1000

#: What taking a claim answers where it is the second.
_SECOND = 2

# A value is a delivery's tag; one that Redis does not know as in hand has a mark before it.
_HOLDS = """
local function holds(holder)
  return holder and (string.sub(holder, 1, 1) == '!'
    or redis.call('HEXISTS', KEYS[2], holder) == 1)
end
"""
# KEYS: the claim, the messages in hand, the second claim. ARGV: the tag, how long a claim of a
# delivery that Redis does not know holds and one that it knows, and whether a second may be taken.
_TAKE = (
    _HOLDS
    + """
local tag = ARGV[1]
local function free(holder)
  return holder == tag or holder == '!' .. tag or not holds(holder)
end
local key = KEYS[1]
if not free(redis.call('GET', key)) then
  key = KEYS[3]
  if ARGV[4] ~= '1' or redis.call('EXISTS', key) == 0 then return 0 end
  if not free(redis.call('GET', key)) then return 0 end
end
if redis.call('HEXISTS', KEYS[2], tag) == 1 then
  redis.call('SET', key, tag, 'PX', ARGV[3])
else
  redis.call('SET', key, '!' .. tag, 'PX', ARGV[2])
end
return key == KEYS[1] and 1 or 2
"""
)
_IS_TAKEN = _HOLDS + "return holds(redis.call('GET', KEYS[1])) and 1 or 0"
# Who allows a second claim sends a message in the same step. KEYS: as above, and the queue.
_ALLOW = (
    _HOLDS
    + """
if not holds(redis.call('GET', KEYS[1])) or redis.call('EXISTS', KEYS[3]) == 1 then return 0 end
redis.call('SET', KEYS[3], '', 'PX', ARGV[1])
redis.call('LPUSH', KEYS[4], ARGV[2])
return 1
"""
)
_RELEASE = """
for _, key in ipairs(KEYS) do
  local holder = redis.call('GET', key)
  if holder == ARGV[1] or holder == '!' .. ARGV[1] then redis.call('DEL', key) end
end
"""


class ShardName(NamedTuple):
    """A shard of a job, at a stage."""

    job: str
    stage: Stage
    shard: int


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
        self._shard = ShardName(job, stage, shard)
        self._tag = tag
        self._timeout_ms = max(1, round(1000 * timeout_s))
        self._is_held = False
        self._may_be_second = False
        #: Whether another delivery does the shard, too.
        self.is_second = False

    def take(self, *, as_second: bool = False) -> bool:
        """Claims the shard, if no other delivery holds it; done again, nothing changes.

        Args:
            as_second: Whether it may be the second to do so, where one is allowed.

        Raises:
            QueueError: Redis is away.
        """
        self._may_be_second = as_second
        with queue_errors():
            self._is_held = self._take()
        return self._is_held

    def keep(self) -> None:
        """Claims the shard anew where Redis may have lost the claim; not if it was released.

        Raises:
            redis.RedisError: Redis is away.
        """
        if self._is_held:
            self._take()
            if not self._is_held:  # released meanwhile
                self._release()

    def release(self) -> None:
        """Frees the shard; where Redis is away, the end of the delivery does."""
        if self._is_held:
            self._is_held = False
            self._release()

    def _take(self) -> bool:
        times_ms = (self._timeout_ms, _KEPT_MS)
        which = self._redis.eval(
            _TAKE, 3, *_keys(*self._shard), self._tag, *times_ms, int(self._may_be_second)
        )
        self.is_second = which == _SECOND
        return bool(which)

    def _release(self) -> None:
        claim, _, second = _keys(*self._shard)
        with suppress(redis.exceptions.RedisError, OSError):
            self._redis.eval(_RELEASE, 2, claim, second, self._tag)


def allow_second(client: redis.Redis, queue: str, message: str, shard: ShardName) -> bool:
    """Allows a second claim on a shard that somebody does, and sends the message that takes it.

    Args:
        client: The Redis that carries the queue.
        queue: The queue.
        message: The message, as it lies there.
        shard: The shard.

    Returns:
        Whether it was; not if one is allowed or taken already.

    Raises:
        QueueError: Redis is away.
    """
    with queue_errors():
        keys = (*_keys(*shard), queue)
        return bool(client.eval(_ALLOW, len(keys), *keys, _ALLOWED_MS, message))


def is_claimed(client: redis.Redis, job: str, stage: Stage, shard: int) -> bool:
    """Whether somebody does the shard.

    Raises:
        QueueError: Redis is away.
    """
    with queue_errors():
        return bool(client.eval(_IS_TAKEN, 2, *_keys(job, stage, shard)[:2]))


def _keys(job: str, stage: Stage, shard: int) -> tuple[str, str, str]:
    claim = f"regioncap:claim:{job}:{stage}:{shard}"
    return claim, UNACKED, f"{claim}:2"
