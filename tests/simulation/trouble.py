"""The kinds of faults that a life may meet, by name."""

from __future__ import annotations

import json
from collections.abc import Callable
from functools import partial
from typing import NamedTuple

import redis

from regioncap.errors import EngineDeadError
from regioncap.services.claims import ShardName, allow_second
from regioncap.services.messages import CAPTION_TASK, Message, dump
from tests.simulation import s3, valkey
from tests.simulation.faults import When
from tests.simulation.schedule import Process
from tests.simulation.world import T_S, EngineThread, World

#: Sources that are refused for no longer than this are nobody's error.
REFUSED_S = 2.0
#: A service that is away for no longer than this is waited for by its client's own retries, or not.
AWAY_S = 20.0
#: Longer than a lease.
SILENT_S = 3 * T_S
_SLEEPS = {"paused", "store slow", "store away after a write"}


class Kind(NamedTuple):
    """A kind of fault: when it strikes, what it does, and which requests it can meet."""

    name: str
    when: When
    strike: Callable[[], object]
    #: How the names of these requests begin.
    prefix: str = ""


class Trouble:
    """Makes trouble in a world.

    Args:
        world: Where.
    """

    def __init__(self, world: World) -> None:
        self._world = world
        self._schedule = world.schedule
        #: Whether the store has refused something for a while.
        self._has_refused = False

    def kinds(self) -> list[Kind]:
        """All kinds; some names stand several times, with different aims."""
        kinds = [*self._of_processes(), *self._of_store(), *self._of_redis(), *self._of_engine()]
        if self._world.s3.conditions == "kept":
            return kinds
        # Who sleeps between a look and the write that rests on it does harm there, as
        # docs/stores.md says.
        return [kind for kind in kinds if kind.name not in _SLEEPS or kind.prefix == "redis"]

    def _of_processes(self) -> list[Kind]:
        kill, pause = self._kill, self._pause
        return [
            Kind("killed", "before", kill),
            Kind("killed", "after", kill),
            Kind("killed", "after", kill, "s3"),
            Kind("killed", "after", kill, "s3 create"),
            Kind("killed", "after", kill, "s3 replace"),
            Kind("killed", "after", kill, "s3 put retry"),
            Kind("killed", "after", kill, "s3 put job.json"),
            Kind("killed", "after", kill, "s3 delete _SUCCESS"),
            Kind("killed", "before", kill, "redis eval turns"),
            Kind("killed", "after", kill, "redis eval turns"),
            Kind("told to stop", "before", self._stop),
            Kind("told to stop", "before", self._stop, "engine"),
            Kind("paused", "before", pause, "s3"),
            Kind("paused", "after", pause, "s3"),
            Kind("paused", "before", pause, "redis"),
            Kind("paused", "before", pause, "redis eval turns"),
            Kind("paused", "before", pause, "s3 create"),
            Kind("paused", "before", pause, "s3 replace"),
            Kind("paused", "before", pause, "s3 create results"),
            Kind("paused", "before", pause, "s3 replace results"),
            Kind("paused", "before", pause, "s3 delete"),
        ]

    def _of_store(self) -> list[Kind]:
        bucket = self._world.settings.s3_bucket
        all_of_it, sources = f"{bucket}/", f"{bucket}/images/"
        return [
            Kind("store busy (503)", "before", partial(_fail, lambda: s3.error(503)), "s3"),
            Kind("store's conflict (409)", "before", partial(_fail, _conflict), "s3 create"),
            Kind("store's conflict (409)", "before", partial(_fail, _conflict), "s3 replace"),
            Kind("store refuses all (403)", "before", partial(self._deny, all_of_it), "s3"),
            Kind("store without bucket (404)", "before", partial(self._hide, bucket), "s3"),
            Kind("sources refused (403)", "before", partial(self._deny, sources), "s3 get images"),
            Kind("store's answer lost", "after", partial(_fail, s3.lost), "s3"),
            Kind("store away after a write", "after", self._write_and_away, "s3 put"),
            Kind("store away after a write", "after", self._write_and_away, "s3 create"),
            Kind("store away after a write", "after", self._write_and_away, "s3 replace"),
            Kind("store away", "before", partial(self._silence, "s3", AWAY_S)),
            Kind("store slow", "before", self._be_slow, "s3"),
            Kind("store slow", "after", self._be_slow, "s3"),
        ]

    def _of_redis(self) -> list[Kind]:
        server = self._world.redis_server
        return [
            Kind("Redis's answer lost", "after", partial(_fail, valkey.lost), "redis"),
            Kind("Redis's connection lost", "before", partial(_fail, valkey.lost), "redis"),
            Kind("Redis full", "before", partial(_fail, _full), "redis"),
            Kind("Redis flushed", "before", server.do_flushdb),
            Kind("Redis flushed", "before", server.do_flushdb, "redis eval turns"),
            Kind("Redis away", "before", partial(self._silence, "redis", AWAY_S)),
            Kind("Redis silent", "before", partial(self._silence, "redis", SILENT_S)),
            Kind("last second lost", "before", self._lose_a_second, "redis"),
            Kind("messages doubled", "before", self._double, "redis"),
            Kind("second claims allowed", "before", self._allow_seconds, "engine"),
            Kind("second claims allowed", "before", self._allow_seconds, "s3 create results"),
        ]

    def _of_engine(self) -> list[Kind]:
        dead = partial(_fail, lambda: EngineDeadError("gone"))
        return [
            Kind("engine died", "before", dead, "engine"),
            Kind("engine hung", "before", self._hang, "engine"),
            *(
                Kind(f"engine broken: {way}", "before", partial(self._break, way), "engine")
                for way in ("raises", "refuses", "says !!!!")
            ),
            Kind("engine away", "before", self._engine_away, "engine"),
        ]

    @property
    def _victim(self) -> Process:
        assert self._schedule.current is not None
        return self._schedule.current.process

    def _kill(self) -> None:
        if not self._victim.name.startswith(("person", "keeper")):
            self._schedule.kill(self._victim)

    def _stop(self) -> None:
        if worker := self._world.workers.get(self._victim):
            worker.drain.stop()

    def _pause(self) -> None:
        self._schedule.pause(self._victim, SILENT_S)

    def _be_slow(self) -> None:
        self._schedule.wait(self._schedule.random.random() * 9)

    def _silence(self, service: str, seconds: float) -> None:
        self._world.tell(f"{service} is silent for {seconds:.0f} s")
        self._world.gate.silent_until_s[service] = self._schedule.now_s + seconds

    def _write_and_away(self) -> None:
        self._silence("s3", AWAY_S)
        raise s3.lost()

    def _deny(self, prefix: str) -> None:
        self._for_a_while(self._world.s3.denied, prefix)

    def _hide(self, bucket: str) -> None:
        self._for_a_while(self._world.s3.missing, bucket)

    def _for_a_while(self, names: set[str], name: str) -> None:
        def end() -> None:
            self._schedule.wait(REFUSED_S)
            names.discard(name)

        if self._has_refused:
            return  # refused again and again, a source is its records' error
        self._has_refused = True
        names.add(name)
        self._schedule.start(self._schedule.process("policy"), end)

    def _lose_a_second(self) -> None:
        server = self._world.redis_server
        then = server.snapshot()

        def crash() -> None:
            self._schedule.wait(1.0)
            self._world.tell("Redis comes back as it was a second ago")
            server.restore(then)

        self._schedule.start(self._schedule.process("redis"), crash)

    def _double(self) -> None:
        server = self._world.redis_server
        for queue in ("render", "caption"):
            for message in server.do_lrange(queue, "0", "0"):
                server.do_lpush(queue, message)

    def _allow_seconds(self) -> None:
        """As `workers.backup` does where a holder is slow, for all that is captioned just now."""
        client = valkey.Client(self._world.redis_server)
        for job, shard in sorted(self._world.asking):
            message = dump(
                Message(CAPTION_TASK, job, shard), "caption", self._world.name("second-")
            )
            allow_second(client, "caption", json.dumps(message), ShardName(job, "caption", shard))

    def _hang(self) -> None:
        thread = self._schedule.current
        while thread not in EngineThread.cancelled:
            self._schedule.wait(5.0)

    def _break(self, way: str) -> None:
        self._world.broken[self._victim] = way

    def _engine_away(self) -> None:
        self._world.engine_away_until_s = self._schedule.now_s + 60.0


def _fail(error: Callable[[], Exception]) -> None:
    raise error()


def _conflict() -> Exception:
    return s3.error(409)


def _full() -> Exception:
    return redis.exceptions.OutOfMemoryError("command not allowed when used memory > 'maxmemory'.")
