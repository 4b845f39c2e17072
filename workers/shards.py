"""What both kinds of workers do around a shard: lease, attempts, log, and back to the queue.

Knows nothing of Celery: a shard comes as a `Delivery`, and goes back by `GoesBack`.
"""

from __future__ import annotations

import threading
from collections import deque
from collections.abc import Callable, Iterator
from contextlib import contextmanager
from dataclasses import dataclass
from typing import NoReturn

import redis
import structlog

from regioncap import metrics
from regioncap.errors import (
    EngineDeadError,
    NewerFormatError,
    QueueError,
    ServiceError,
    StoppedError,
    UsageError,
)
from regioncap.parallel import REAL, Runtime
from regioncap.records import Stage
from regioncap.services.attempts import SHARD_DEATHS, Attempts, Quarantine
from regioncap.services.leases import Leases
from regioncap.services.progress import Progress
from workers.turnstile import Turnstile

_log = structlog.get_logger("regioncap")

#: Longest pause before a shard goes back to the queue because a service is away.
_MAX_PAUSE_S = 15.0

#: Pause of a worker that has left a shard to a newer one: meanwhile it does not take it again.
_NEWER_PAUSE_S = 4.0

#: Errors that come again whoever tries, as a UsageError does: there is no such shard, or its job
#: cannot be done as it was submitted.
_DROPPED = {"no-such-job", "no-such-shard", "bad-job"}

#: Does a shard, its records one by one if a quarantine is given; returns what became of it.
Work = Callable[[str, int, Quarantine | None], str]


class GoesBack(Exception):  # noqa: N818 - no error: the shard is done later, or by another worker
    """A shard goes back to the queue."""


@dataclass(frozen=True, slots=True)
class Delivery:
    """A message of the queue in this worker's hands."""

    job: str
    shard: int
    #: What the queue knows the delivery by; a lease on it is renewed while the shard is in hand.
    tag: str
    #: Whether a worker has had the message before.
    is_redelivered: bool
    #: Puts the same message into the queue anew; raises QueueError.
    send_anew: Callable[[], None]


class Shards:
    """Runs shards of one stage in this process.

    Args:
        stage: `render` or `caption`.
        client: The Redis that carries the queue.
        leases: Keep what is in hand from other workers.
        check: Called before a shard begins; what it raises is not charged to the shard.
        on_engine_death: Called when an engine died: this process can do nothing more.
        stopping: Set when the worker is told to stop: nothing begins then, and nothing waits.
        runtime: The clock and the threads.
    """

    def __init__(
        self,
        stage: Stage,
        client: redis.Redis,
        leases: Leases,
        *,
        check: Callable[[], None] = lambda: None,
        on_engine_death: Callable[[], None] = lambda: None,
        stopping: threading.Event | None = None,
        runtime: Runtime = REAL,
    ) -> None:
        self._stage = stage
        self._redis = client
        self._leases = leases
        self._check = check
        self._on_engine_death = on_engine_death
        self._stopping = stopping or runtime.event()
        self._clock = runtime.monotonic
        self._turnstile = Turnstile(self._check_stopping, runtime)
        self._engine_died = False
        #: Shards in a row that a service's absence sent back.
        self._failures = 0
        #: Starts to be taken back as soon as Redis can be reached again.
        self._owed: deque[Attempts] = deque()
        self._paying = runtime.lock()

    def progress(self, job_id: str) -> Progress:
        """The progress of a job."""
        return Progress(self._redis, job_id)

    def run(self, delivery: Delivery, work: Work) -> str:
        """Does a shard; returns what became of it.

        Raises:
            GoesBack: It is not done; its message is to be given back to the queue.
        """
        named = {"stage": self._stage, "job": delivery.job, "shard": delivery.shard}
        # Whatever is logged meanwhile, also by libraries, says of what.
        with structlog.contextvars.bound_contextvars(**named):
            return self._logged(delivery, work)

    def _logged(self, delivery: Delivery, work: Work) -> str:
        started = self._clock()
        if delivery.is_redelivered:
            metrics.add("shards_redelivered", stage=self._stage)
        try:
            with self._leases.hold(delivery.tag):
                outcome = self._caught(delivery, work)
        except GoesBack:
            metrics.add("shards", stage=self._stage, outcome="returned")
            raise
        seconds = self._clock() - started
        self._failures = 0
        metrics.add("shards", stage=self._stage, outcome=outcome.replace(" ", "-"))
        metrics.add("shard_seconds", seconds, stage=self._stage)
        _log.info("shard", outcome=outcome, seconds=round(seconds, 3))
        return outcome

    def _caught(self, delivery: Delivery, work: Work) -> str:
        attempts = Attempts(self._redis, delivery.job, self._stage, delivery.shard)
        try:
            return self._counted(attempts, delivery, work)
        except StoppedError as error:
            _log.info("back to the queue", reason=str(error))
            raise GoesBack(str(error)) from None
        except EngineDeadError as error:
            _log.error("the engine died", error=str(error))
            self._stopping.set()
            self._on_engine_death()
            raise GoesBack(str(error)) from None
        except ServiceError as error:
            self._failures += 1
            self._wait_and_go_back(error, _pause_s(self._failures))
        except NewerFormatError as error:
            return self._leave(error, delivery)
        except Exception as error:
            if isinstance(error, UsageError) or getattr(error, "code", None) in _DROPPED:
                _log.warning("dropped", error=str(error))
                with self._debts(attempts):
                    attempts.clear()  # nobody else would, as there is no such shard
                return "dropped"
            # Not the records' fault, as those end as error records: ours, or the machine's.
            _log.exception("shard failed")
            self._wait_and_go_back(error, _pause_s(self._deaths(attempts)))

    def _counted(self, attempts: Attempts, delivery: Delivery, work: Work) -> str:
        """Does a shard, in quarantine if it is suspect; counts starts that come to no end."""
        self._pay()
        suspect = attempts.deaths() >= SHARD_DEATHS
        with self._turnstile.alone() if suspect else self._turnstile.shared():
            self._check_stopping()
            self._check()
            attempts.start()
            metrics.add("attempts", stage=self._stage)
            with self._forgiving(attempts):
                quarantine = Quarantine(attempts) if suspect else None
                outcome = work(delivery.job, delivery.shard, quarantine)
        with self._debts(attempts):
            attempts.clear()
        return outcome

    @staticmethod
    def _deaths(attempts: Attempts) -> int:
        try:
            return attempts.deaths()
        except QueueError:
            return 1

    @contextmanager
    def _forgiving(self, attempts: Attempts) -> Iterator[None]:
        """Takes the start back if the shard is not to blame for its end."""
        try:
            yield
        except EngineDeadError:
            self._engine_died = True
            raise
        except (ServiceError, StoppedError, NewerFormatError):
            # Whatever was in an engine that died may be to blame, also what was taken out then.
            if not self._engine_died:
                with self._debts(attempts):
                    attempts.forgive()
            raise

    @contextmanager
    def _debts(self, attempts: Attempts) -> Iterator[None]:
        """Where Redis cannot be reached, the start is taken back later."""
        try:
            yield
        except QueueError:
            self._owed.append(attempts)

    def _pay(self) -> None:
        with self._paying:
            while self._owed:
                self._owed[0].forgive()
                self._owed.popleft()

    def _check_stopping(self) -> None:
        if self._stopping.is_set():
            raise StoppedError("the worker is told to stop")

    def _leave(self, error: Exception, delivery: Delivery) -> str:
        """Puts a shard that only a newer worker can do into the queue anew, and then waits.

        Were it given back, this worker would ask for it as soon as any other, and could have it
        again and again.
        """
        try:
            delivery.send_anew()
        except QueueError:
            self._wait_and_go_back(error, _NEWER_PAUSE_S)
        _log.warning("left to a newer worker", error=str(error), pause_s=_NEWER_PAUSE_S)
        self._stopping.wait(_NEWER_PAUSE_S)
        return "left"

    def _wait_and_go_back(self, error: Exception, pause_s: float) -> NoReturn:
        """Gives the shard back a little later: what was missing may be there again then."""
        _log.warning("back to the queue", error=str(error), pause_s=pause_s)
        self._stopping.wait(pause_s)
        raise GoesBack(str(error))


def _pause_s(failures: int) -> float:
    return min(_MAX_PAUSE_S, 0.5 * 2.0 ** min(failures, 10))
