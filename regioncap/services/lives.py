"""Lives of workers: which died together, so that no shard is blamed for that.

    regioncap:lives     processes with shards in hand, by when they renewed their leases last

What kills a worker by what it is given kills that one. Where others die at about the same time (a
host is lost, a pool is taken away, somebody kills all), no shard is to blame. Where only one host's
workers die of a shard, and others live, that is as one death: the host may be to blame.

The time of a death is known as well as leases are renewed: to a third of the visibility timeout.
"""

from __future__ import annotations

import json
import socket
from collections.abc import Sequence
from contextlib import suppress
from typing import NamedTuple

import redis

from regioncap import keys
from regioncap.services.broker import queue_errors

LIVES = "regioncap:lives"
#: Deaths longer ago than this excuse nobody.
_KEPT_S = 24 * 3600
#: So many deaths for each that makes a shard suspect count whatever else dies: a shard that kills
#: workers while others happen to die is found, too.
_PATIENCE = 3

_TOUCH = """
local time = redis.call('TIME')
redis.call('ZADD', KEYS[1], time[1] .. '.' .. string.format('%06d', time[2]), ARGV[1])
redis.call('ZREMRANGEBYSCORE', KEYS[1], '-inf', time[1] - ARGV[2])
return 1
"""


class Start(NamedTuple):
    """A start that came to no end."""

    #: The process that made it; empty if that is not known.
    life: str
    #: When, by the clock of Redis, seconds since the epoch.
    at: float

    def text(self) -> str:
        """As it is noted."""
        return json.dumps({"life": self.life, "at": round(self.at, 3)})


def read(text: str) -> Start:
    """What was noted; a version before this one noted a number."""
    with suppress(ValueError, LookupError, TypeError):
        told = json.loads(text)
        return Start(str(told["life"]), float(told["at"]))
    return Start("", 0.0)


class Lives:
    """The lives as one process sees them, which has its own.

    Args:
        client: The Redis that carries the queue.
        timeout_s: The visibility timeout.
        host: The machine.
    """

    def __init__(self, client: redis.Redis, timeout_s: float, host: str = "") -> None:
        self._redis = client
        self._timeout_s = timeout_s
        self.name = f"{host or socket.gethostname()}/{keys.new_token()}"
        #: Whether the process works on a suspect alone: its death is no sign of anything else.
        self.is_alone = False

    def touch(self) -> None:
        """Notes that this process lives, and has shards in hand.

        Raises:
            redis.RedisError: Redis is away.
        """
        if not self.is_alone:
            self._redis.eval(_TOUCH, 1, LIVES, self.name, _KEPT_S)

    def leave(self) -> None:
        """Notes that it has none, or that its death is to excuse nobody."""
        with suppress(redis.exceptions.RedisError, OSError):
            self._redis.zrem(LIVES, self.name)

    def blamed(self, starts: Sequence[Start], enough: int) -> int:
        """How many of some starts that came to no end speak against what was started.

        Args:
            starts: The starts.
            enough: So many make it suspect.

        Raises:
            QueueError: Redis is away.
        """
        if len(starts) < enough or len(starts) >= _PATIENCE * enough:
            return len(starts)
        with queue_errors(), self._redis.pipeline(transaction=False) as pipe:
            pipe.time()
            pipe.zrange(LIVES, 0, -1, withscores=True)
            (seconds, _), noted = pipe.execute()
        beats: dict[str, float] = dict(noted)
        # One that lives renews every third of the timeout.
        silent = {name for name, beat in beats.items() if beat < seconds - self._timeout_s * 2 / 3}
        dead = {name: beats[name] for name in silent - {self.name}}
        counted = [start for start in starts if not self._is_excused(start, beats, dead)]
        hosts = {_host(start.life) for start in counted}
        elsewhere = {_host(name) for name in beats.keys() - silent} - hosts
        is_one = len(hosts) == 1 and "" not in hosts and elsewhere
        return min(1, len(counted)) if is_one else len(counted)

    def _is_excused(self, start: Start, beats: dict[str, float], dead: dict[str, float]) -> bool:
        if not start.life:
            return False
        died = max(start.at, beats.get(start.life, 0.0))
        return any(
            name != start.life and abs(beat - died) <= self._timeout_s / 3
            for name, beat in dead.items()
        )


def _host(life: str) -> str:
    return life.partition("/")[0]
