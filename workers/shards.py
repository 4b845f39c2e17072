"""What both kinds of workers do around a shard: lease, attempts, log, and back to the queue."""

from __future__ import annotations

import threading
import time
from collections import deque
from collections.abc import Callable, Iterator
from contextlib import contextmanager
from dataclasses import dataclass, field

import redis
import structlog
from celery import Task
from celery.exceptions import Reject

from regioncap import metrics
from regioncap.errors import (
    EngineDeadError,
    NewerFormatError,
    NotFoundError,
    QueueError,
    ServiceError,
    StoppedError,
)
from regioncap.records import Stage
from regioncap.services.attempts import SHARD_DEATHS, Attempts, Quarantine
from regioncap.services.broker import broker_errors, connect
from regioncap.services.leases import Leases
from regioncap.services.progress import Progress
from regioncap.settings import Settings
from workers.turnstile import Turnstile

_log = structlog.get_logger("regioncap")

#: Longest pause before a shard goes back to the queue because a service is away.
_MAX_PAUSE_S = 15.0

#: Pause of a worker that has left a shard to a newer one: meanwhile it does not take it again.
_NEWER_PAUSE_S = 4.0

#: Does a shard, its records one by one if a quarantine is given; returns what became of it.
Work = Callable[[str, int, Quarantine | None], str]


@dataclass
class Shards:
    """Runs shards of one stage in this process.

    Args:
        stage: `render` or `caption`.
        settings: Where Redis is.
        check: Called before a shard begins; what it raises is not charged to the shard.
        on_engine_death: Called when an engine died: this process can do nothing more.
    """

    stage: Stage
    settings: Settings
    check: Callable[[], None] = lambda: None
    on_engine_death: Callable[[], None] = lambda: None
    #: Set when the worker is told to stop: nothing begins then, and nothing waits any longer.
    stopping: threading.Event = field(default_factory=threading.Event)
    _engine_died: bool = False
    _failures: int = 0
    #: Starts to be taken back as soon as Redis can be reached again.
    _owed: deque[Attempts] = field(default_factory=deque)
    _paying: threading.Lock = field(default_factory=threading.Lock)

    def __post_init__(self) -> None:
        self.redis: redis.Redis = connect(self.settings)
        self._leases = Leases(self.redis, self.settings.visibility_timeout_s)
        self._turnstile = Turnstile(self._check_stopping)

    def progress(self, job_id: str) -> Progress:
        """The progress of a job."""
        return Progress(self.redis, job_id)

    def run(self, task: Task, job: str, shard: int, work: Work) -> None:
        """Does a shard, or puts it back into the queue."""
        # Whatever is logged meanwhile, also by libraries, says of what.
        with structlog.contextvars.bound_contextvars(stage=self.stage, job=job, shard=shard):
            self._run(task, job, shard, work)

    def _run(self, task: Task, job: str, shard: int, work: Work) -> None:
        started = time.monotonic()
        if task.request.delivery_info.get("redelivered"):
            metrics.add("shards_redelivered", stage=self.stage)
        try:
            with self._leases.hold(task.request.properties["delivery_tag"]):
                outcome = str(self._try(task, job, shard, work))
        except Reject:
            metrics.add("shards", stage=self.stage, outcome="returned")
            raise
        seconds = time.monotonic() - started
        self._failures = 0
        metrics.add("shards", stage=self.stage, outcome=outcome.replace(" ", "-"))
        metrics.add("shard_seconds", seconds, stage=self.stage)
        _log.info("shard", outcome=outcome, seconds=round(seconds, 3))

    def _try(self, task: Task, job: str, shard: int, work: Work) -> str | None:
        attempts = Attempts(self.redis, job, self.stage, shard)
        try:
            return self._counted(attempts, job, shard, work)
        except StoppedError as error:
            _log.info("back to the queue", reason=str(error))
            raise Reject(str(error), requeue=True) from None
        except EngineDeadError as error:
            _log.error("the engine died", error=str(error))
            self.stopping.set()
            self.on_engine_death()
            raise Reject(str(error), requeue=True) from None
        except ServiceError as error:
            self._failures += 1
            self._back(error, _pause_s(self._failures))
        except NewerFormatError as error:
            return self._leave(error, task, job, shard)
        except Exception as error:
            if isinstance(error, NotFoundError) and error.code == "no-such-job":
                return "dropped"  # there is no such job
            # Not the records' fault, as those end as error records: ours, or the machine's.
            _log.exception("shard failed")
            self._back(error, _pause_s(self._deaths(attempts)))
        return None

    def _counted(self, attempts: Attempts, job: str, shard: int, work: Work) -> str:
        """Does a shard, in quarantine if it is suspect; counts starts that come to no end."""
        self._pay()
        suspect = attempts.deaths() >= SHARD_DEATHS
        with self._turnstile.alone() if suspect else self._turnstile.shared():
            self._check_stopping()
            self.check()
            attempts.start()
            metrics.add("attempts", stage=self.stage)
            with self._forgiving(attempts):
                outcome = work(job, shard, Quarantine(attempts) if suspect else None)
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
        if self.stopping.is_set():
            raise StoppedError("the worker is told to stop")

    def _leave(self, error: Exception, task: Task, job: str, shard: int) -> str:
        """Puts a shard that only a newer worker can do into the queue anew, and then waits.

        Were it given back, this worker would ask for it as soon as any other, and could have it
        again and again.
        """
        queue = task.request.delivery_info["routing_key"]
        try:
            with broker_errors():
                task.apply_async(kwargs={"job": job, "shard": shard}, queue=queue)
        except QueueError:
            self._back(error, _NEWER_PAUSE_S)
        _log.warning("left to a newer worker", error=str(error), pause_s=_NEWER_PAUSE_S)
        self.stopping.wait(_NEWER_PAUSE_S)
        return "left"

    def _back(self, error: Exception, pause_s: float) -> None:
        """Waits a little and gives the shard back: what was missing may be there again then."""
        _log.warning("back to the queue", error=str(error), pause_s=pause_s)
        self.stopping.wait(pause_s)
        raise Reject(str(error), requeue=True)


def _pause_s(failures: int) -> float:
    return min(_MAX_PAUSE_S, 0.5 * 2.0 ** min(failures, 10))
