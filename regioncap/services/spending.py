"""Spending: the GPU time that a job has taken, kept in Redis and found anew from its results.

What engines took for answers that stand nowhere (another worker was quicker, a retry replaced them)
counts too, for as long as Redis knows of it.
"""

from __future__ import annotations

import redis

from regioncap.services.broker import queue_errors

#: What nobody touches for so long is found anew from the results.
_KEPT_S = 7 * 24 * 3600
_FIELD = "gpu_ms"

# A sum that Redis has lost is not begun with what comes next.
_ADD = """
if redis.call('EXISTS', KEYS[1]) == 1 then
  redis.call('HINCRBY', KEYS[1], ARGV[1], ARGV[2])
  redis.call('EXPIRE', KEYS[1], ARGV[3])
end
"""
_BEGIN = """
if redis.call('EXISTS', KEYS[1]) == 0 then
  redis.call('HSET', KEYS[1], ARGV[1], ARGV[2])
  redis.call('EXPIRE', KEYS[1], ARGV[3])
end
return redis.call('HGET', KEYS[1], ARGV[1])
"""


class Spending:
    """The GPU time of one job, in milliseconds.

    Args:
        client: The Redis that carries the queue.
        job: The job.
    """

    def __init__(self, client: redis.Redis, job: str) -> None:
        self._redis = client
        self._key = f"regioncap:{job}:spent"

    def read_ms(self) -> int | None:
        """What has been spent; None if Redis does not know."""
        with queue_errors():
            text = self._redis.hget(self._key, _FIELD)
        return None if text is None else int(text)

    def begin(self, spent_ms: int) -> int:
        """Notes what the results tell, unless another has; returns what counts."""
        with queue_errors():
            return int(self._redis.eval(_BEGIN, 1, self._key, _FIELD, str(spent_ms), str(_KEPT_S)))

    def add(self, spent_ms: int) -> None:
        """Adds what has been spent; where Redis has lost the sum, the results tell."""
        with queue_errors():
            self._redis.eval(_ADD, 1, self._key, _FIELD, str(spent_ms), str(_KEPT_S))
