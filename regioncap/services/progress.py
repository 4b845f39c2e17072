"""Progress of jobs, kept in Redis: a cache that can be lost and is rebuilt from the store.

For each job: `rendered`, a bitmap by shard number; `parts`, a hash from shard number to the summary
of its results part; `counts`, the sums over all parts. A shard that is noted twice counts once.
"""

from __future__ import annotations

import json
from collections.abc import Sequence
from typing import Any

import redis

from regioncap.errors import QueueError
from regioncap.services.broker import queue_errors

_PREFIX = "regioncap:"

# Replaces the summary of a part and moves the sums by the difference, in one step: a redelivered
# shard must not count twice, and a corrected one must not keep its old counts.
_NOTE_PART = """
local old = redis.call('HGET', KEYS[1], ARGV[1])
if old == ARGV[2] then return redis.call('HLEN', KEYS[1]) end
local is_read, noted = pcall(cjson.decode, old)
if old and is_read then
  for name, value in pairs(noted['counts']) do
    redis.call('HINCRBY', KEYS[2], name, -value)
  end
end
for name, value in pairs(cjson.decode(ARGV[2])['counts']) do
  redis.call('HINCRBY', KEYS[2], name, value)
end
redis.call('HSET', KEYS[1], ARGV[1], ARGV[2])
return redis.call('HLEN', KEYS[1])
"""

_FORGET_PART = """
local old = redis.call('HGET', KEYS[1], ARGV[1])
if old then
  local is_read, noted = pcall(cjson.decode, old)
  if is_read then
    for name, value in pairs(noted['counts']) do
      redis.call('HINCRBY', KEYS[2], name, -value)
    end
  end
  redis.call('HDEL', KEYS[1], ARGV[1])
end
"""

#: What is known of a job that ended is dropped after this time.
_KEPT_S = 24 * 3600


def parts_key(job_id: str) -> str:
    """The hash of a job's parts: a field for each shard that has its results."""
    return f"{_PREFIX}{job_id}:parts"


class Progress:
    """The progress of one job.

    Args:
        client: A client from `connect`.
        job_id: The job.
    """

    def __init__(self, client: redis.Redis, job_id: str) -> None:
        self.redis = client
        base = f"{_PREFIX}{job_id}:"
        self._rendered, self._parts, self._counts = (
            base + "rendered",
            parts_key(job_id),
            base + "counts",
        )

    def note_rendered(self, shard: int) -> None:
        """Notes that a shard's pictures are drawn."""
        with queue_errors():
            self.redis.setbit(self._rendered, shard, 1)

    def rendered(self) -> int:
        """How many shards' pictures are drawn."""
        with queue_errors():
            return int(self.redis.bitcount(self._rendered))

    def note_part(self, shard: int, summary: dict[str, Any]) -> int:
        """Notes a results part, once or again; returns how many parts there are."""
        text = json.dumps(summary, sort_keys=True)
        with queue_errors():
            found = self.redis.eval(_NOTE_PART, 2, self._parts, self._counts, str(shard), text)
            return int(found)

    def forget_part(self, shard: int) -> None:
        """Takes a part back: it is to be done again."""
        with queue_errors():
            self.redis.eval(_FORGET_PART, 2, self._parts, self._counts, str(shard))

    def counts(self) -> dict[str, int]:
        """Sums over the parts so far; `shards` among them."""
        with queue_errors(), self.redis.pipeline(transaction=False) as pipe:
            pipe.hgetall(self._counts)
            pipe.hlen(self._parts)
            sums, shards = pipe.execute()
        try:
            return {"shards": int(shards), **{name: int(value) for name, value in sums.items()}}
        except ValueError as error:
            raise QueueError(
                "what Redis holds of the job's progress are no counts",
                code="bad-progress",
                hint="delete it there: `regioncap reconcile` makes it anew from the store",
            ) from error

    def parts(self, shards: Sequence[int]) -> list[dict[str, Any] | None]:
        """Summaries of some parts, in the order of the shards; None for one that is not known."""
        with queue_errors():
            texts = self.redis.hmget(self._parts, [str(shard) for shard in shards])
        return [_summary(text) for text in texts]

    def failed(self) -> set[int]:
        """Shards with a failed record."""
        with queue_errors():
            noted = self.redis.hscan_iter(self._parts, count=1000)
            told = ((shard, _summary(text)) for shard, text in noted if shard.isdecimal())
            return {int(shard) for shard, summary in told if summary and _has_failed(summary)}

    def done(self) -> set[int]:
        """Shards that have their results."""
        with queue_errors():
            return {int(shard) for shard in self.redis.hkeys(self._parts) if str(shard).isdecimal()}

    def expire(self) -> None:
        """Lets Redis drop all in a day: the job has ended, and the store tells how."""
        with queue_errors(), self.redis.pipeline(transaction=False) as pipe:
            for key in (self._rendered, self._parts, self._counts):
                pipe.expire(key, _KEPT_S)
            pipe.execute()

    def drop(self) -> None:
        """Forgets the job."""
        with queue_errors():
            self.redis.delete(self._rendered, self._parts, self._counts)

    def keep(self) -> None:
        """Takes `expire` back: the job goes on."""
        with queue_errors(), self.redis.pipeline(transaction=False) as pipe:
            for key in (self._rendered, self._parts, self._counts):
                pipe.persist(key)
            pipe.execute()


def _summary(text: str | bytes | None) -> dict[str, Any] | None:
    """The summary of a part; None where there is none that can be read."""
    try:
        summary = json.loads(text or "")
        is_one = isinstance(summary["sha256"], str)
        is_one &= all(type(each) is int for each in summary["counts"].values())
    except (ValueError, LookupError, TypeError, AttributeError, RecursionError):
        return None
    return summary if is_one else None


def _has_failed(summary: dict[str, Any]) -> bool:
    return bool(summary["counts"].get("failed"))
