"""What both kinds of workers do around a shard: lease, attempts, log, and back to the queue."""

from __future__ import annotations

import threading
import time
from collections.abc import Callable
from dataclasses import dataclass, field

import redis
import structlog
from celery import Task
from celery.exceptions import Reject

from regioncap.errors import ServiceError
from regioncap.lease import Leases
from regioncap.progress import Progress, connect
from regioncap.settings import Settings

_log = structlog.get_logger("regioncap")

#: Longest pause before a shard goes back to the queue because a service is away.
_MAX_PAUSE_S = 15.0


@dataclass
class Shards:
    """Runs shards of one stage in this process.

    Args:
        stage: `render` or `caption`.
        settings: Where Redis is.
    """

    stage: str
    settings: Settings
    #: Set when the worker is told to stop and its time to finish is over.
    stopping: threading.Event = field(default_factory=threading.Event)
    _failures: int = 0

    def __post_init__(self) -> None:
        self.redis: redis.Redis = connect(self.settings)
        self._leases = Leases(self.redis, self.settings.visibility_timeout_s)

    def progress(self, job_id: str) -> Progress:
        """The progress of a job."""
        return Progress(self.redis, job_id)

    def run(self, task: Task, job: str, shard: int, work: Callable[[str, int], str]) -> None:
        """Does a shard, or puts it back into the queue."""
        tag = task.request.properties["delivery_tag"]
        log = _log.bind(stage=self.stage, job=job, shard=shard)
        started = time.monotonic()
        with self._leases.hold(tag):
            try:
                outcome = work(job, shard)
            except ServiceError as error:
                self._back(log, error)
            except Exception as error:
                # Not the records' fault, as those end as error records: ours, or the machine's.
                log.exception("shard failed")
                self._back(log, error)
        self._failures = 0
        log.info("shard", outcome=outcome, seconds=round(time.monotonic() - started, 3))

    def _back(self, log: structlog.stdlib.BoundLogger, error: Exception) -> None:
        """Waits a little and gives the shard back: what was missing may be there again then."""
        self._failures += 1
        pause_s = min(_MAX_PAUSE_S, 0.5 * 2**self._failures)
        log.warning("back to the queue", error=str(error), pause_s=pause_s)
        self.stopping.wait(pause_s)
        raise Reject(str(error), requeue=True)
