"""Silence of Redis: afterwards, living workers renew their leases before others get their shards.

While Redis is silent (it hangs, is away, or the machine sleeps), nobody can renew, and its clock
goes on: to whoever looks first, all shards in hand are abandoned. So each look at what is abandoned
is noted, by the clock of Redis, and after a gap between looks nothing is given away for a time in
which every worker that lives renews. Redis without a note, as after the loss of its data, counts as
one that was silent.
"""

from __future__ import annotations

import redis

#: Hash: when the last look was, and since when there was no gap; seconds by the clock of Redis.
BEAT = "regioncap:beat"

_NOTE = """
local time = redis.call('TIME')
local now = time[1] + time[2] / 1000000
local last = tonumber(redis.call('HGET', KEYS[1], 'last') or 0)
local since = tonumber(redis.call('HGET', KEYS[1], 'since') or now)
if math.abs(now - last) > tonumber(ARGV[1]) then since = now end
redis.call('HSET', KEYS[1], 'last', string.format('%.3f', now))
redis.call('HSET', KEYS[1], 'since', string.format('%.3f', since))
return math.floor(1000 * math.max(0, now - since))
"""


def may_give_away(client: redis.Redis, timeout_s: float) -> bool:
    """Whether a lease that looks abandoned is; to be asked more often than `timeout_s` / 2.

    Args:
        client: The Redis that carries the queue.
        timeout_s: The visibility timeout; leases are renewed three times in it.
    """
    heard_ms = client.eval(_NOTE, 1, BEAT, str(timeout_s / 2))
    return int(str(heard_ms)) >= 500 * timeout_s
