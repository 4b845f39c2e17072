"""Attempts: starts that never came to an end, and what becomes of the records behind them.

A start is noted under a name of its own before the work and taken back after it, whatever its end;
so noting it twice, as a client does whose answer was lost, is noting it once. What stays are the
starts whose process died; what died together with others does not count, see
`regioncap.services.lives`. A shard that did so twice is run in quarantine: its records in halves,
or one at a time, and each start of some counted in the same way; a half in which something died is
halved again. A record whose process died three times while it was alone there gets an error
record, and its neighbours their captions.

The counts live in Redis and can be lost: then they begin again.
"""

from __future__ import annotations

from collections.abc import Callable, Sequence
from functools import partial
from typing import Any, TypeVar

import redis
import structlog

from regioncap import keys
from regioncap.errors import ServiceError, StoppedError
from regioncap.records import InputRecord, Problem, Stage
from regioncap.services.broker import queue_errors, server_time
from regioncap.services.lives import Lives, Start, read

#: A shard whose worker died this often is run in quarantine.
SHARD_DEATHS = 2
#: A record whose worker died this often while it was alone is given up.
RECORD_DEATHS = 3
#: Counts that nobody touches are dropped.
_KEPT_S = 7 * 24 * 3600

_SHARD = "shard"

T = TypeVar("T")
R = TypeVar("R", bound=InputRecord)

_log = structlog.get_logger("regioncap")


class Attempts:
    """Starts of one shard at one stage.

    Args:
        client: The Redis that carries the queue.
        job: The job.
        stage: `render` or `caption`.
        shard: The shard.
        lives: Tells which deaths count; by default all do.
    """

    def __init__(
        self,
        client: redis.Redis,
        job: str,
        stage: Stage,
        shard: int,
        lives: Lives | None = None,
    ) -> None:
        self._redis = client
        self._lives = lives
        self._key = f"regioncap:{job}:attempts:{stage}:{shard}"
        self.stage = stage
        #: The last start of each, by what was started.
        self._started: dict[str, str] = {}

    def deaths(self) -> int:
        """How many starts of the shard have not come to an end, and may be the shard's doing."""
        with queue_errors():
            noted: Any = self._redis.hgetall(self._key)
        return self._count(noted, _SHARD, SHARD_DEATHS)

    def start(self, what: str = _SHARD, enough: int = RECORD_DEATHS) -> int:
        """Notes a start of the shard, or of records; returns how many died before.

        Args:
            what: What is started.
            enough: From how many on it matters that others died at the same time.
        """
        self._started[what] = field = f"{what}/{keys.new_token()}"
        with queue_errors():
            if self._lives is not None:
                self._lives.touch()
            start = Start(self._lives.name if self._lives else "", server_time(self._redis))
            with self._redis.pipeline() as pipe:
                pipe.hset(self._key, field, start.text())
                pipe.expire(self._key, _KEPT_S)
                pipe.hgetall(self._key)
                noted = pipe.execute()[2]
        noted.pop(field, None)
        return self._count(noted, what, enough)

    def forgive(self, what: str = _SHARD) -> None:
        """Takes this start back: its process lives."""
        if what in self._started:
            with queue_errors():
                self._redis.hdel(self._key, self._started[what])

    def forgive_all(self) -> None:
        """Takes back the starts of the shard and of its records: this worker was to blame."""
        if self._started:
            with queue_errors():
                self._redis.hdel(self._key, *self._started.values())

    def clear(self) -> None:
        """Forgets all starts: the shard is done."""
        with queue_errors():
            self._redis.delete(self._key)

    def _count(self, noted: dict[str, str], what: str, enough: int) -> int:
        # Versions before 0.2 kept a number under the bare name.
        earlier = max(0, int(noted.get(what) or 0))
        starts = [read(text) for field, text in noted.items() if field.startswith(f"{what}/")]
        return earlier + (self._lives.blamed(starts, enough) if self._lives else len(starts))


class Quarantine:
    """Runs the records of a suspect shard in halves, or one at a time.

    Args:
        attempts: Counts the starts of the shard's records.
        check: Called before a record is given up; raises if this worker may not do that, since it
            is to blame itself.
    """

    def __init__(self, attempts: Attempts, check: Callable[[], None] = lambda: None) -> None:
        self._attempts = attempts
        self._check = check

    def in_halves(
        self,
        records: Sequence[R],
        work: Callable[[Sequence[R]], list[T]],
        give_up: Callable[[R, Problem], T],
    ) -> list[T]:
        """Runs the records in two halves, and a half in which something died in halves again.

        Where none is to blame, as is likely, this takes little longer than all together; and a bad
        one is found in as many steps as its half can be halved.

        Args:
            records: In order of their places.
            work: Does some of them.
            give_up: As in `alone`.
        """
        if len(records) < 2:
            return [
                self.alone(each.index, lambda: work(records)[0], partial(give_up, each))
                for each in records
            ]
        _, middle = _block(records)
        halves = (
            [r for r in records if r.index < middle],
            [r for r in records if r.index >= middle],
        )
        return [done for half in halves for done in self._half(half, work, give_up)]

    def _half(
        self,
        records: Sequence[R],
        work: Callable[[Sequence[R]], list[T]],
        give_up: Callable[[R, Problem], T],
    ) -> list[T]:
        if len(records) < 2:
            return self.in_halves(records, work, give_up)
        what, _ = _block(records)
        if self._attempts.start(what, enough=1):
            self._attempts.forgive(what)
            return self.in_halves(records, work, give_up)
        try:
            done = work(records)
        except (ServiceError, StoppedError):
            self._attempts.forgive(what)
            raise
        self._attempts.forgive(what)
        return done

    def alone(self, index: int, work: Callable[[], T], give_up: Callable[[Problem], T]) -> T:
        """Runs one record while nothing else runs in the process.

        Args:
            index: The record.
            work: Does it. A process that dies in it, and an error that is no service's, count
                against the record.
            give_up: Makes the error record of one that has been counted against too often.
        """
        deaths = self._attempts.start(str(index))
        if deaths >= RECORD_DEATHS:
            self._check()
            _log.warning("record given up", record=index, deaths=deaths)
            self._attempts.forgive(str(index))
            return give_up(self._problem(deaths))
        try:
            result = work()
        except (ServiceError, StoppedError):
            self._attempts.forgive(str(index))
            raise
        self._attempts.forgive(str(index))
        return result

    def _problem(self, deaths: int) -> Problem:
        message = (
            f"the worker died {deaths} times while it worked on this record alone "
            "(the workers' logs say of what: memory, time, or a crash)"
        )
        return Problem(code="poison", message=message, stage=self._attempts.stage)


def _block(records: Sequence[R]) -> tuple[str, int]:
    """The name of the block of places that some records lie in, and its middle.

    Blocks are aligned, so that records that are done meanwhile do not change them.
    """
    first, last, size = records[0].index, records[-1].index, 1
    while first // size != last // size:
        size *= 2
    start = first // size * size
    return f"{start}+{size}", start + size // 2
