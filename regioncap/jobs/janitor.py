"""The janitor: reconciles jobs that make no progress, by itself.

Any number may run; a lock in Redis lets one of them at a time make its round. What they know of a
job they keep in Redis together, so that it does not matter who makes it.
"""

from __future__ import annotations

import json
from collections.abc import Callable
from functools import partial
from typing import Any, TypeVar

import redis
import structlog

from regioncap.errors import (
    NotFoundError,
    QueueError,
    RegionCapError,
    ServiceError,
    StoreDeniedError,
)
from regioncap.job import Job
from regioncap.jobs import catalogue
from regioncap.jobs.ends import Ends
from regioncap.jobs.reconcile import reconcile
from regioncap.parallel import REAL, Runtime
from regioncap.services import due
from regioncap.services.backlog import Backlog, read_backlog
from regioncap.services.broker import is_wrong_type, queue_errors, server_time
from regioncap.services.feeder import Feeder
from regioncap.services.key_types import remove_wrong
from regioncap.services.messages import RENDER
from regioncap.services.progress import Progress
from regioncap.services.sender import Sender
from regioncap.services.store import Store
from regioncap.services.waits import put_back

_LOCK = "regioncap:janitor"
_SEEN = "regioncap:janitor:seen"
#: There while rounds are made that cost no GPU its time.
_KEPT = "regioncap:janitor:kept"
#: A janitor that has looked at nothing for this long is stuck.
_STUCK_S = 600.0
#: Between two looks for keys that hold another type of value.
_TYPES_PERIOD_S = 600.0

#: So many rounds that nobody made, and whoever stands by makes them.
_ROUNDS_MISSED = 3

#: What Redis says of how long a key lives that never expires.
_FOR_EVER = -1

T = TypeVar("T")

_log = structlog.get_logger("regioncap")


class Janitor:
    """Looks after the unfinished jobs.

    Args:
        store: Where they lie.
        client: The Redis that carries the queue.
        sender: Asks for what is missing.
        patience_s: A job that has made no progress for this long is reconciled.
        stands_by: Whether it makes rounds only where no other janitor does, as those of caption
            workers: to list the parts of a large job takes seconds of the processor that feeds a
            GPU.
        ends: Tells who wants to know that jobs have ended, whoever makes the rounds.
        runtime: The clock and the thread that it goes by.
    """

    def __init__(
        self,
        store: Store,
        client: redis.Redis,
        sender: Sender,
        patience_s: float,
        *,
        stands_by: bool = False,
        ends: Ends | None = None,
        runtime: Runtime = REAL,
    ) -> None:
        self._store = store
        self._redis = client
        self._sender = sender
        self._feeder = Feeder(client, runtime.monotonic)
        self._patience_s = patience_s
        self._stands_by = stands_by
        self._ends = ends
        self.period_s = max(1.0, patience_s / 4)
        self._runtime = runtime
        self._stopped = runtime.event()
        self._looked_s = runtime.monotonic()
        #: When the types of keys were looked at last; None if they are to be looked at.
        self._types_s: float | None = None

    def run(self) -> None:
        """Takes its turns, every `period_s`, until `stop`."""
        while not self._stopped.wait(self.period_s):
            self.turn()

    def start(self) -> None:
        """Takes its turns in a thread of its own."""
        self._runtime.start("janitor", self.run)

    def turn(self) -> None:
        """Makes a round if no other janitor does; a service that is away is waited for."""
        self._looked_s = self._runtime.monotonic()
        try:
            if self._take_lock():
                self._check_types()
                self.round()
            if self._ends is not None:
                self._ends.tell()
        except ServiceError as error:
            self._types_s = None  # one of a wrong type may be why
            _log.warning("the janitor waits", error=str(error))
        except Exception:
            self._types_s = None
            _log.exception("the janitor stumbled")

    def stop(self) -> None:
        """Ends `run` soon."""
        self._stopped.set()

    def check(self) -> str:
        """What is wrong; empty if nothing is. A service that is away is no fault of the janitor."""
        silent_s = self._runtime.monotonic() - self._looked_s
        if silent_s > self.period_s + _STUCK_S:
            return f"has looked at no job for {silent_s:.0f} s"
        return ""

    def round(self) -> None:
        """Looks at all unfinished jobs once."""
        turned = due.jobs(self._redis)  # before the list: their markers were there before them
        ids = catalogue.open_ids(self._store)
        self._forget(turned, set(ids))
        queues, stalled = {RENDER}, []
        for job in catalogue.load_each(self._store, ids, self._leave_out):
            queues.add(job.settings.queue)
            if self._for_one(job, self._is_stalled):
                stalled.append(job)
        # Workers do this too, where there are some.
        for queue in queues:
            put_back(self._redis, queue)
        self._feeder.feed_all()
        if not stalled:
            return
        backlog = read_backlog(
            self._redis, {job.settings.queue for job in stalled}, [job.job for job in stalled]
        )
        for job in stalled:
            self._for_one(job, partial(self._reconcile, backlog=backlog))

    def _forget(self, turned: set[str], open_ids: set[str]) -> None:
        """Has nothing follow of jobs that have ended, nor remembers how they looked."""
        for job_id in turned - open_ids:
            try:
                due.drop(self._redis, job_id)
            except QueueError as error:
                if not is_wrong_type(error.__cause__):
                    raise
                _log.warning("what is due of a job is not readable", job=job_id, error=str(error))
        with queue_errors():
            seen: Any = self._redis.hkeys(_SEEN)
            if gone := set(seen) - open_ids:
                self._redis.hdel(_SEEN, *gone)

    def _for_one(self, job: Job, act: Callable[[Job], T]) -> T | None:
        """Does something for one job: whatever lies there for it, the others have their turn.

        Raises:
            ServiceError: A service is away, for all jobs.
        """
        self._looked_s = self._runtime.monotonic()
        try:
            return act(job)
        except StoreDeniedError as error:
            _log.warning("a job cannot be read", job=job.job, error=str(error))
        except ServiceError:
            raise
        except Exception:
            _log.exception("the janitor stumbled", job=job.job)
        return None

    def _reconcile(self, job: Job, backlog: Backlog) -> None:
        progress = Progress(self._redis, job.job)
        done = reconcile(self._store, progress, self._sender, job, backlog, runtime=self._runtime)
        with queue_errors():
            self._redis.hdel(_SEEN, job.job)
        if done.state not in {"open", "paused"} or done.render or done.caption:
            _log.warning(
                "reconciled", job=job.job, state=done.state,
                render=len(done.render), caption=len(done.caption),
            )  # fmt: skip

    def _leave_out(self, job_id: str, error: RegionCapError) -> None:
        if not isinstance(error, NotFoundError):
            _log.warning("a job cannot be read", job=job_id, error=str(error))

    def _is_stalled(self, job: Job) -> bool:
        """Whether the job looks as it did `patience_s` ago."""
        progress = Progress(self._redis, job.job)
        try:
            look = [progress.counts()["shards"], progress.rendered()]
        except QueueError as error:
            if error.code != "bad-progress":
                raise
            _log.warning("the progress is made anew", job=job.job, error=str(error))
            progress.drop()
            return True
        with queue_errors():
            now = server_time(self._redis)
            seen = self._redis.hget(_SEEN, job.job)
            if seen is not None:
                before = _noted(seen)
                if before.get("look") == look:
                    is_late = bool(now - before["since"] >= self._patience_s)
                    return is_late and not self._awaits_its_turn(job, look[0])
            self._redis.hset(_SEEN, job.job, json.dumps({"look": look, "since": now}))
        return False

    def _awaits_its_turn(self, job: Job, done: int) -> bool:
        """Whether all that is left of a job is due, so that nothing of it can be lost."""
        left = due.count(self._redis, job.job)
        if not left or left + done < job.shards:
            return False
        for send in (self._sender.render, self._sender.caption):
            send(job, ())  # it has its turn, whatever became of that
        return True

    def _take_lock(self) -> bool:
        with queue_errors():
            if self._stands_by and self._redis.exists(_KEPT):
                return False
            held_ms = int(self.period_s * 900)
            if self._redis.set(_LOCK, "1", nx=True, px=held_ms):
                if not self._stands_by:
                    self._redis.set(_KEPT, "1", px=int(self.period_s * _ROUNDS_MISSED * 1000))
                return True
            if self._redis.ttl(_LOCK) == _FOR_EVER:  # whatever it is, it is no lock of ours
                self._redis.delete(_LOCK)
        return False

    def _check_types(self) -> None:
        now_s = self._runtime.monotonic()
        if self._types_s is None or now_s - self._types_s >= _TYPES_PERIOD_S:
            remove_wrong(self._redis)
            self._types_s = now_s


def _noted(seen: Any) -> dict[str, Any]:
    """What was noted of a job; nothing if that is no such note."""
    try:
        noted = json.loads(str(seen))
        return {"look": noted["look"], "since": float(noted["since"])}
    except (ValueError, LookupError, TypeError, RecursionError):
        return {}
