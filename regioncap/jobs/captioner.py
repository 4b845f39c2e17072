"""The captioner: asks the engine about the records of a shard, but for what is answered already.

Knows nothing of where results stand: `regioncap.jobs.caption` puts them there.
"""

from __future__ import annotations

import threading
from collections.abc import Callable, Coroutine, Sequence, Set
from concurrent.futures import Future
from dataclasses import dataclass
from typing import Any

from regioncap import keys, metrics
from regioncap.captions import degenerate
from regioncap.captions.conversation import (
    Captioned,
    CropMaker,
    caption_records,
    verify_records,
)
from regioncap.engines.thread import EngineThread
from regioncap.errors import EngineError, NotFoundError
from regioncap.inputs.originals import Originals
from regioncap.job import Job
from regioncap.jobs.budgets import Purse
from regioncap.jobs.gpu_time import BusyClock
from regioncap.jobs.load import ShardLoad
from regioncap.jobs.partial import Partial
from regioncap.jobs.retry import Again
from regioncap.jobs.reuse import KeptCaptions, fingerprint
from regioncap.jobs.trial import Trial
from regioncap.jobs.turn import Turn
from regioncap.parallel import REAL, Runtime
from regioncap.records import Problem, Region, RenderedRecord
from regioncap.services.attempts import Quarantine
from regioncap.services.leases import Pulse
from regioncap.services.progress import Progress
from regioncap.services.store import Store
from regioncap.settings import Settings
from regioncap.views.view import Limits, Shown, ViewSettings, crop_regions

#: Answers are kept so often in the time after which a worker that is silent loses its shard.
_KEPT_IN_TIMEOUT = 3


@dataclass(frozen=True, slots=True)
class ShardInHand:
    """A shard in hand."""

    job: Job
    shard: int
    #: What the worker says of this go at it.
    turn: Turn
    #: Counts what the engine is still to answer.
    load: ShardLoad
    #: What is answered already, if the shard comes to no end.
    partial: Partial

    def key(self, kind: keys.PartKind) -> str:
        """Key of the shard's part of a kind."""
        return keys.part_key(self.job.job, kind, self.shard)


class NotDrawnError(Exception):
    """Pictures that are not kept are to be drawn again."""


class Captioner:
    """Captions the records of shards; for many threads.

    Args:
        store: Where the pictures lie, and answers that are kept.
        engine: A started engine.
        progress: Gives the progress of a job.
        settings: Limits, and the buckets that may be read.
        gpus: How many GPUs the engine keeps busy.
        keep_captions: Whether captions are kept for later jobs that reuse them.
        threads: Requests to the store at a time, over all shards in hand.
        runtime: The clock and the threads.
    """

    def __init__(
        self,
        store: Store,
        engine: EngineThread,
        progress: Callable[[str], Progress],
        settings: Settings,
        *,
        gpus: int = 0,
        keep_captions: bool = True,
        threads: int = 16,
        runtime: Runtime = REAL,
    ) -> None:
        self._store = store
        self._engine = engine
        self._progress = progress
        self._limits = Limits.of(settings)
        #: Whether the engine or what it was given is to blame.
        self.trial = Trial(engine, self._limits)
        #: What jobs may spend.
        self.purse = Purse(store, runtime)
        self._originals = Originals(store, settings)
        self._pool = runtime.pool(threads, "caption-io")
        self._kept = KeptCaptions(store, self._pool)
        self._keeps = keep_captions
        self._gpus = gpus
        self._clock = BusyClock(runtime.monotonic)
        self._keep_s = settings.visibility_timeout_s / _KEPT_IN_TIMEOUT
        self._lock = threading.Lock()
        #: Requests in the engine, with their jobs.
        self._asked: list[tuple[str, Future[list[Captioned]]]] = []
        #: Whether nothing more is asked.
        self._is_stopped = False

    def jobs_in_hand(self) -> set[str]:
        """Jobs that have requests in the engine."""
        with self._lock:
            return {job for job, _ in self._asked}

    def stop(self, job_id: str | None = None) -> None:
        """Takes a job's requests out of the engine; or all, and those still to come."""
        with self._lock:
            self._is_stopped |= job_id is None
            chosen = [future for job, future in self._asked if job_id in {None, job}]
        for future in chosen:
            future.cancel()

    def caption(
        self,
        records: Sequence[RenderedRecord],
        task: ShardInHand,
        again: Again | None = None,
    ) -> tuple[list[Captioned], Callable[[Set[int]], None]]:
        """Captions records; a retry takes over no captions of records that it wants anew.

        Args:
            records: The records.
            task: Their shard.
            again: The retry.

        Returns:
            The captions in the order of the records, and what keeps them for later jobs, to be
            called with the places of those that the results hold.

        Raises:
            NotDrawnError: Their pictures are gone.
            CancelledError: `stop` was called.
            EngineError, ServiceError: As the engine's.
        """
        job = task.job
        named = ((r.index, fingerprint(r, job, self._engine.engine)) for r in records)
        names = {index: name for index, name in named if name is not None}
        known = task.partial.find(records, names, again)
        done = list(known.values())
        if job.settings.reuse:
            anew = known.keys() | (again.flagged if again else set())
            old = [record for record in records if record.index not in anew]
            known |= self._kept.find(old, names)
        rest = [record for record in records if record.index not in known]
        task.load.know(sum(map(_requests, rest)))
        done += self._believed(self._ask_all(rest, task), task)

        def keep(placed: Set[int]) -> None:
            if self._keeps:
                self._kept.keep([d for d in done if d.record.index in placed], names, job)

        whole = known | {captioned.record.index: captioned for captioned in done}
        return [whole[record.index] for record in records], keep

    def ask_back(
        self, records: Sequence[RenderedRecord], task: ShardInHand, retries: Set[int]
    ) -> list[Captioned]:
        """Asks of each caption of some records which region it is true of.

        Args:
            records: The records, with their captions.
            task: Their shard.
            retries: Places of those whose refuted captions are asked for again.
        """
        how, pictures = self._how(task.job), self._fetch(records, task)
        crop, engine, pulse = self._crop_maker(how), self._engine.engine, task.turn.pulse
        task.load.know(sum(len(record.regions) for record in records))

        def ask(some: Sequence[RenderedRecord]) -> list[Captioned]:
            work = verify_records(
                some, pictures, engine, how, crop, retries=retries, on_answer=pulse.beat
            )
            return self._in_engine(task, work)

        def alone(record: RenderedRecord, quarantine: Quarantine) -> Captioned:
            # One that cannot be asked back stays as it is.
            return quarantine.alone(
                record.index, lambda: ask([record])[0], lambda _: Captioned(record)
            )

        if (quarantine := task.turn.quarantine) is None:
            return ask(records)
        return [alone(record, quarantine) for record in records]

    def _how(self, job: Job) -> ViewSettings:
        """How a job's regions are shown, to this engine's model."""
        return ViewSettings.of(job, self._limits, self._engine.engine.grid)

    def _ask_all(self, records: Sequence[RenderedRecord], task: ShardInHand) -> list[Captioned]:
        if (quarantine := task.turn.quarantine) is None:
            return self._ask_engine(records, task)

        def ask(some: Sequence[RenderedRecord]) -> list[Captioned]:
            done = self._ask_engine(some, task)
            task.partial.keep()  # what comes next may be the end of this process
            return done

        def give_up(record: RenderedRecord, problem: Problem) -> Captioned:
            return Captioned(record.model_copy(update={"error": problem}))

        return quarantine.in_halves(records, ask, give_up)

    def _believed(self, asked: list[Captioned], task: ShardInHand) -> list[Captioned]:
        """Answers that the engine is to be believed, or the second ones of silent records.

        An engine that passes its trial now may have been unwell when it said nothing of them.
        """
        self._examine(asked, task)
        silent = {c.record.index: c for c in asked if degenerate.is_silent(c)}
        if not silent:
            return asked
        open_again = [c.record.model_copy(update={"error": None}) for c in silent.values()]
        task.load.know(sum(map(_requests, open_again)))
        again = self._ask_all(open_again, task)
        self._examine(again, task)
        later = {c.record.index: c.after(silent[c.record.index]) for c in again}
        return [later.get(captioned.record.index, captioned) for captioned in asked]

    def _examine(self, asked: Sequence[Captioned], task: ShardInHand) -> None:
        try:
            self.trial.examine(asked, task.turn)
        except BaseException:
            task.partial.drop()
            raise

    def _ask_engine(self, records: Sequence[RenderedRecord], task: ShardInHand) -> list[Captioned]:
        how, pictures = self._how(task.job), self._fetch(records, task)

        def answered(captioned: Captioned) -> None:
            task.load.answered(_requests(captioned.record))
            task.partial.add(captioned)
            done.append(captioned)

        done: list[Captioned] = []
        work = caption_records(
            records,
            pictures,
            self._engine.engine,
            how,
            self._crop_maker(how),
            on_answer=task.turn.pulse.beat,
            on_record=answered,
        )

        def keep(seconds: float) -> None:
            # Those that are under way take their part of the time, too.
            self._share_out(seconds, done, len(records))
            task.partial.keep()

        return self._in_engine(task, work, keep)

    def _in_engine(
        self,
        task: ShardInHand,
        work: Coroutine[Any, Any, list[Captioned]],
        keep: Callable[[float], None] = lambda seconds: None,
    ) -> list[Captioned]:
        """Runs something on the engine's loop, and shares its time among the records.

        Args:
            task: The shard.
            work: What is run.
            keep: Called now and then, and where it comes to no end, with the time that it has had.
        """
        job, pulse = task.job, task.turn.pulse
        pulse.beat()
        future = self._engine.run(work)
        entry = (job.job, future)
        with self._lock:
            self._asked.append(entry)
            if self._is_stopped:  # before it was noted
                future.cancel()
        try:
            with self._clock.working() as share:
                done = _answered(
                    future, pulse, self._keep_s, lambda: keep(self._clock.so_far_s(share))
                )
        except BaseException:
            keep(share.seconds)
            raise
        finally:
            with self._lock:
                self._asked.remove(entry)
            # Also what was asked in vain.
            spent_ms = round(1000 * share.seconds * self._gpus)
            metrics.add("gpu_seconds", spent_ms / 1000)
            self.purse.spend(self._progress(job.job).redis, job, spent_ms)
        asked = [captioned for captioned in done if captioned.requests]
        self._share_out(share.seconds, asked, len(asked))
        return done

    def _share_out(self, seconds: float, done: Sequence[Captioned], count: int) -> None:
        """Gives records their part of the time that so many took."""
        for captioned in done:
            captioned.gpu_ms = round(1000 * seconds * self._gpus / count)

    def _fetch(self, records: Sequence[RenderedRecord], task: ShardInHand) -> dict[str, bytes]:
        view_keys = [view.key for record in records for view in record.all_views]
        try:
            return dict(zip(view_keys, self._pool.map(self._store.get, view_keys), strict=True))
        except NotFoundError:
            if task.job.settings.keep_marked:
                raise
            raise NotDrawnError from None

    def _crop_maker(self, how: ViewSettings) -> CropMaker:
        def crop(record: RenderedRecord, chosen: Sequence[Region]) -> list[Shown]:
            return crop_regions(record, chosen, self._originals.read(record), how)

        return crop


def _requests(record: RenderedRecord) -> int:
    """How many requests a record begins with."""
    return 0 if record.error is not None else len(record.all_views)


def _answered(
    future: Future[list[Captioned]], pulse: Pulse, keep_s: float, keep: Callable[[], None]
) -> list[Captioned]:
    """What came of a request to the engine; it is taken out where nobody waits for it any more.

    Args:
        future: The request.
        pulse: Tells for how long nothing has been answered.
        keep_s: So often what is answered is kept.
        keep: Keeps it.

    Raises:
        EngineError: Nothing was answered for as long as a shard may be silent (`engine-silent`).
    """
    try:
        while True:
            left_s = pulse.left_s
            if not left_s:
                raise EngineError(
                    f"the engine has answered nothing about the shard for {pulse.silent_s:.0f} s",
                    code="engine-silent",
                )
            try:
                return future.result(min(left_s, keep_s))
            except TimeoutError:
                if future.done():  # it is the engine's own
                    raise
                keep()
    finally:
        future.cancel()  # whatever came between: nobody waits for it any more
