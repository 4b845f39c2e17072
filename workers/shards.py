"""What both kinds of workers do around a shard: lease, attempts, log, and waits.

No shard waits in a worker's hands: one that has to goes beside the queue, see
`regioncap.services.waits`, and its message is dealt with by that.

Knows nothing of Celery: a shard comes as a `Delivery`, and goes back by `GoesBack`.
"""

from __future__ import annotations

import threading
from collections import deque
from collections.abc import Callable, Iterator
from contextlib import contextmanager
from dataclasses import dataclass

import redis
import structlog

from regioncap import metrics
from regioncap.errors import (
    EngineDeadError,
    EngineError,
    EngineUnwellError,
    NewerFormatError,
    QueueError,
    RegionCapError,
    ServiceError,
    StoppedError,
    StoreDeniedError,
    StoreLateError,
    UsageError,
)
from regioncap.jobs.turn import Turn
from regioncap.parallel import REAL, Runtime
from regioncap.records import Stage
from regioncap.services.attempts import SHARD_DEATHS, Attempts, Quarantine
from regioncap.services.claims import Claim
from regioncap.services.leases import Leases, Pulse
from regioncap.services.progress import Progress
from regioncap.services.waits import Waits, back_off_s
from workers.shard_times import ShardTimes
from workers.turnstile import OccupiedError, Turnstile

_log = structlog.get_logger("regioncap")

#: Pause of a shard that only a newer worker can do, before this one may take it again.
_NEWER_PAUSE_S = 4.0
#: Pause of a shard that found a suspect one alone in the worker.
_OCCUPIED_PAUSE_S = 2.0
#: Pause of a worker whose Redis does not even take note of a wait.
_REDIS_PAUSE_S = 0.5

#: Errors that come again whoever tries, as a UsageError does: there is no such shard, or its job
#: cannot be done as it was submitted.
_DROPPED = {"no-such-job", "no-such-shard", "bad-job"}

#: Does a shard; returns what became of it.
Work = Callable[[str, int, Turn], str]
#: Ends of a turn at which the shard is not done, but waits.
_WAITS = {"waits", "held", "left", "claimed"}


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
    #: The queue that it came from.
    queue: str


class Shards:
    """Runs shards of one stage in this process.

    Args:
        stage: `render` or `caption`.
        client: The Redis that carries the queue.
        leases: Keep what is in hand from other workers.
        check: Called before a shard begins; what it raises is not charged to the shard.
        try_out: Called where a shard has failed, with what failed: raises EngineUnwellError or
            ServiceError if this worker is to blame, and not what it was given.
        on_engine_death: Called when the engine died or is unwell: this process can do nothing more.
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
        try_out: Callable[[str], None] = lambda _: None,
        on_engine_death: Callable[[], None] = lambda: None,
        stopping: threading.Event | None = None,
        runtime: Runtime = REAL,
    ) -> None:
        self._stage = stage
        self._redis = client
        self._leases = leases
        self._check = check
        self._try_out = try_out
        self._on_engine_death = on_engine_death
        self._stopping = stopping or runtime.event()
        self._clock = runtime.monotonic
        self._turnstile = Turnstile(self._check_stopping, runtime)
        self._engine_died = False
        #: How long shards took.
        self.times = ShardTimes()
        #: Job and shard of what is in hand.
        self._in_hand: set[tuple[str, int]] = set()
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
        claim = Claim(
            self._redis, delivery.job, self._stage, delivery.shard, delivery.tag,
            timeout_s=self._leases.timeout_s,
        )  # fmt: skip
        try:
            with self._leases.hold(delivery.tag, claim) as pulse:
                outcome = self._caught(delivery, work, pulse, claim)
        except GoesBack:
            metrics.add("shards", stage=self._stage, outcome="returned")
            raise
        if outcome == "waits":
            metrics.add("shards", stage=self._stage, outcome="returned")
        else:
            metrics.add("shards", stage=self._stage, outcome=outcome.replace(" ", "-"))
        if outcome not in _WAITS:
            seconds = self._clock() - started
            if outcome == "done":
                self.times.note(delivery.job, seconds)
            metrics.add("shard_seconds", seconds, stage=self._stage)
            _log.info("shard", outcome=outcome, seconds=round(seconds, 3))
        return outcome

    def _caught(self, delivery: Delivery, work: Work, pulse: Pulse, claim: Claim) -> str:
        attempts = Attempts(
            self._redis, delivery.job, self._stage, delivery.shard, self._leases.lives
        )
        waits = Waits(self._redis, delivery.job, self._stage, delivery.queue)
        try:
            # The second to do a shard is another process.
            place = (delivery.job, delivery.shard)
            if claim.take(as_second=place not in self._in_hand):
                if claim.is_second:
                    metrics.add("second_claims", stage=self._stage)
                    _log.info("a second claim: the shard is in hand elsewhere, too")
                self._in_hand.add(place)
                try:
                    return self._counted(attempts, waits, delivery, work, pulse)
                finally:
                    self._in_hand.discard(place)
            # Another message of the shard is in hand. This one may be the only one that is left in
            # the end, so it waits.
            waits.pause(delivery.shard, self._leases.period_s)
            outcome = "claimed"
        except (StoppedError, EngineDeadError) as error:
            raise self._back(error) from None
        except EngineUnwellError as error:
            return self._leave(waits, delivery.shard, error)
        except OccupiedError as error:
            with self._noted(error):
                waits.pause(delivery.shard, _OCCUPIED_PAUSE_S)
            outcome = "held"
        except ServiceError as error:
            return self._wait_for(waits, delivery.shard, error)
        except NewerFormatError as error:
            self._wait(waits, delivery.shard, error, pause_s=_NEWER_PAUSE_S)
            outcome = "left"
        except Exception as error:
            return self._failed(attempts, waits, delivery.shard, error)
        return outcome

    def _back(self, error: StoppedError | EngineDeadError) -> GoesBack:
        """Says that the shard is to be given back at once, since this worker ends."""
        if isinstance(error, StoppedError):
            _log.info("back to the queue", reason=str(error))
        else:
            self._end(error)
        return GoesBack(str(error))

    def _end(self, error: EngineError) -> None:
        _log.error("the engine died", code=error.code, error=str(error))
        self._stopping.set()
        self._on_engine_death()

    def _leave(self, waits: Waits, shard: int, error: EngineUnwellError) -> str:
        """Ends this worker, which is to blame; the shard is for another."""
        try:
            return self._wait(waits, shard, error)
        finally:
            self._end(error)

    def _failed(self, attempts: Attempts, waits: Waits, shard: int, error: Exception) -> str:
        """What becomes of a shard that failed; no record's error, as those end as error records."""
        if isinstance(error, UsageError) or getattr(error, "code", None) in _DROPPED:
            _log.warning("dropped", error=str(error))
            with self._debts(attempts):
                attempts.clear()  # nobody else would, as there is no such shard
            return "dropped"
        _log.exception("shard failed")
        try:
            with self._forgiving(attempts):
                self._try_out(f"{type(error).__name__}: {error}")
        except ServiceError as ours:
            return self._wait_for(waits, shard, ours)
        except EngineDeadError as ours:
            raise self._back(ours) from None
        except EngineUnwellError as ours:
            return self._leave(waits, shard, ours)
        return self._wait(waits, shard, error, pause_s=back_off_s(self._deaths(attempts)))

    def _wait_for(self, waits: Waits, shard: int, error: ServiceError) -> str:
        """Has a shard wait for a service."""
        # What the store has not, or refuses, is the business of the shard that names it.
        of_shard = isinstance(error, StoreDeniedError | StoreLateError)
        return self._wait(waits, shard, error, of_job=not of_shard)

    def _counted(
        self, attempts: Attempts, waits: Waits, delivery: Delivery, work: Work, pulse: Pulse
    ) -> str:
        """Does a shard, in quarantine if it is suspect; counts starts that come to no end."""
        self._pay()
        look = waits.look(delivery.shard)
        if look.held_until:
            waits.hold(delivery.shard, look.held_until)
            return "held"
        suspect = attempts.deaths() >= SHARD_DEATHS
        with self._alone() if suspect else self._turnstile.shared():
            pulse.beat()
            self._check_stopping()
            self._check()
            before = attempts.start()
            metrics.add("attempts", stage=self._stage)
            with self._forgiving(attempts):
                turn = Turn(
                    Quarantine(attempts, self._check_own) if suspect else None,
                    look.tries_of,
                    is_first=not (delivery.is_redelivered or look.tries or before),
                    pulse=pulse,
                )
                outcome = work(delivery.job, delivery.shard, turn)
        with self._debts(attempts):
            attempts.clear()
            waits.forget(delivery.shard)
        return outcome

    @contextmanager
    def _alone(self) -> Iterator[None]:
        """Runs the block while no other shard runs; a death in it excuses nothing elsewhere."""
        lives = self._leases.lives
        with self._turnstile.alone():
            lives.is_alone = True
            lives.leave()
            try:
                yield
            finally:
                lives.is_alone = False

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
        except (ServiceError, StoppedError, NewerFormatError, EngineUnwellError):
            # Whatever was in an engine that died may be to blame, also what was taken out then.
            if not self._engine_died:
                with self._debts(attempts):
                    attempts.forgive_all()
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
                self._owed[0].forgive_all()
                self._owed.popleft()

    def _check_own(self) -> None:
        self._try_out("a record is to be given up")

    def _check_stopping(self) -> None:
        if self._stopping.is_set():
            raise StoppedError("the worker is told to stop")

    def _wait(
        self,
        waits: Waits,
        shard: int,
        error: Exception,
        *,
        pause_s: float = 0.0,
        of_job: bool = False,
    ) -> str:
        """Has the shard wait: what was missing may be there again then."""
        code, reason = "failed", f"{type(error).__name__}: {error}"
        if isinstance(error, RegionCapError):
            code, reason = error.code, error.message
        with self._noted(error):
            pause_s = waits.put(shard, code, reason, pause_s=pause_s, of_job=of_job)
        metrics.add("shard_waits", stage=self._stage, code=code)
        _log.warning("back to the queue", error=str(error), pause_s=pause_s)
        return "waits"

    @contextmanager
    def _noted(self, error: Exception) -> Iterator[None]:
        """Gives the shard back where Redis cannot be told that it waits."""
        try:
            yield
        except QueueError:
            _log.warning("back to the queue", error=str(error), pause_s=_REDIS_PAUSE_S)
            self._stopping.wait(_REDIS_PAUSE_S)
            raise GoesBack(str(error)) from None
