"""The caption stage: from a shard's rendered part to its results part.

The stage runs in many threads, a shard each; the engine behind it sees all their records at once.
"""

from __future__ import annotations

import threading
from collections.abc import Callable, Coroutine, Sequence, Set
from concurrent.futures import CancelledError, Future
from dataclasses import dataclass
from typing import Any

import structlog

from regioncap import keys, metrics
from regioncap.captions.conversation import (
    Captioned,
    CropMaker,
    caption_records,
    verify_records,
)
from regioncap.engines import base
from regioncap.engines.thread import EngineThread
from regioncap.errors import (
    EngineError,
    NotFoundError,
    StoppedError,
    StoreError,
)
from regioncap.inputs.originals import Originals
from regioncap.job import Grid, Job
from regioncap.jobs import (
    catalogue,
    finish,
    grids,
    marked,
    markers,
    parts,
    results,
    retry,
)
from regioncap.jobs.budgets import Purse
from regioncap.jobs.gpu_time import BusyClock
from regioncap.jobs.load import Load, ShardLoad
from regioncap.jobs.output import output_record, with_verdicts
from regioncap.jobs.partial import Partial
from regioncap.jobs.retry import Again
from regioncap.jobs.reuse import KeptCaptions, fingerprint
from regioncap.jobs.trial import Trial
from regioncap.jobs.turn import Turn
from regioncap.parallel import REAL, Runtime
from regioncap.records import Problem, Region, RenderedRecord, dump_lines
from regioncap.services.attempts import Quarantine
from regioncap.services.leases import Pulse
from regioncap.services.progress import Progress
from regioncap.services.sender import Sender
from regioncap.services.store import Found, Store
from regioncap.settings import Settings
from regioncap.views.view import Limits, Shown, ViewSettings, crop_regions

#: An engine may be silent about a shard for so many times what it takes over a request at most.
_AFTER = 1.5
#: Answers are kept so often in the time after which a worker that is silent loses its shard.
_KEPT_IN_TIMEOUT = 3

_log = structlog.get_logger("regioncap")


@dataclass(frozen=True, slots=True)
class _Task:
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


class CaptionStage:
    """Runs the caption stage of shards.

    Args:
        store: Where all lies.
        engine: A started engine.
        progress: Gives the progress of a job.
        settings: Limits, and the buckets that may be read.
        sender: Asks for pictures that the engine's model can see as they are.
        gpus: How many GPUs the engine keeps busy.
        keep_captions: Whether captions are kept for later jobs that reuse them.
        threads: Requests to the store at a time, over all shards in hand.
        load: Counts what the engine is still to answer.
        runtime: The clock and the threads.
    """

    def __init__(
        self,
        store: Store,
        engine: EngineThread,
        progress: Callable[[str], Progress],
        settings: Settings,
        sender: Sender,
        *,
        gpus: int = 0,
        keep_captions: bool = True,
        threads: int = 16,
        load: Load | None = None,
        runtime: Runtime = REAL,
    ) -> None:
        self._store = store
        self._engine = engine
        self._progress = progress
        self._sender = sender
        self._limits = Limits.of(settings)
        self._originals = Originals(store, settings)
        self._pool = runtime.pool(threads, "caption-io")
        self._kept = KeptCaptions(store, self._pool)
        self._keeps = keep_captions
        self._gpus = gpus
        self._clock = BusyClock(runtime.monotonic)
        self._load = load or Load()
        self._purse = Purse(store, runtime)
        self._runtime = runtime
        self._lock = threading.Lock()
        self._keep_s = settings.visibility_timeout_s / _KEPT_IN_TIMEOUT
        self._trial = Trial(engine, self._limits)
        #: Requests in the engine, with their jobs.
        self._asked: list[tuple[str, Future[list[Captioned]]]] = []

    def run(self, job_id: str, shard: int, turn: Turn | None = None) -> str:
        """Does one shard, and the job's end if it is the last; says what became of it.

        Args:
            job_id: The job.
            shard: The shard.
            turn: What the worker says of this go at it.

        Raises:
            StoppedError: `stop` was called for all jobs.
            ServiceError: The store, Redis or the engine is away.
        """
        turn = turn or Turn()
        job = catalogue.load_shard(self._store, job_id, shard)
        if self._store.exists(keys.cancelled_key(job_id)):
            return "cancelled"
        partial = Partial(self._store, job_id, shard)
        try:
            with self._load.shard() as load:
                return self._do(_Task(job, shard, turn, load, partial))
        except _OtherGridError as error:
            return self._have_rendered(job, shard, error.grid)
        except _NotDrawnError:
            if self._is_done(job_id, shard):
                return "already done"  # another worker was faster, and has removed them
            self._sender.render(job, [shard])
            return "rendered anew"
        except CancelledError:
            if self._store.exists(keys.cancelled_key(job_id)):
                partial.drop()
                return "cancelled"
            partial.keep()
            raise StoppedError("the worker is told to stop") from None
        except Exception:
            partial.keep()
            raise

    def _is_done(self, job_id: str, shard: int) -> bool:
        """Whether results stand that nobody wants anew."""
        stands = self._store.exists(keys.part_key(job_id, "results", shard))
        return stands and retry.find(self._store, job_id, shard) is None

    def check(self) -> None:
        """As `Trial.check`."""
        self._trial.check()

    def try_out(self, why: str) -> None:
        """As `Trial.try_out`."""
        self._trial.try_out(why)

    def jobs_in_hand(self) -> set[str]:
        """Jobs that have requests in the engine."""
        with self._lock:
            return {job for job, _ in self._asked}

    def stop(self, job_id: str | None = None) -> None:
        """Takes a job's requests out of the engine, or all requests."""
        with self._lock:
            chosen = [future for job, future in self._asked if job_id in {None, job}]
        for future in chosen:
            future.cancel()

    def _do(self, task: _Task) -> str:
        job, shard = task.job, task.shard
        # The engine's own limits come first: they know which request is to blame.
        longest_s = base.longest_s(self._engine.engine, job.settings.max_tokens)
        task.turn.pulse.allow(_AFTER * longest_s)
        found = self._store.find_tagged(task.key("results"))
        again = None if found is None else retry.find(self._store, job.job, shard)
        is_work = found is None or again is not None
        if is_work and self._purse.is_spent(self._progress(job.job).redis, job):
            return "paused"
        outcome = "done"
        if found is None:
            summary = self._first(task)
        elif again is not None:
            standing = self._again(task, found, again)
            if again.verify:
                standing = self._verify(task, standing, again)
            summary = self._summary(task, standing)
            retry.end(self._store, again)
        else:
            summary, outcome = self._summary(task, found), "already done"
        task.partial.drop()
        if not job.settings.keep_marked:
            self._remove_marked(task)
        progress = self._progress(job.job)
        if progress.note_part(shard, summary) >= job.shards:
            finish.finish(self._store, progress, job, runtime=self._runtime)
        return outcome

    def _remove_marked(self, task: _Task) -> None:
        """Removes the shard's pictures: its results stand."""
        part = self._store.find(task.key("rendered"))
        if part is not None:
            marked.remove(self._store, parts.rendered(part, self._store, task.job, task.shard))

    def _first(self, task: _Task) -> dict[str, Any]:
        """Makes the results part, and returns the summary of the one that stands.

        Where two workers have done the same shard, the first one's stays: readers may have seen it,
        and with sampling the second one's differs.
        """
        key = task.key("results")
        lines, keep = self._caption_all(self._rendered(task), task)
        part = dump_lines(lines)
        etag = self._store.put_new(key, part, "application/x-ndjson")
        if etag is None:
            lost_ms = sum(line["usage"]["gpu_ms"] for line in lines)
            metrics.add("gpu_seconds_lost", lost_ms / 1000)
            return self._summary(task, self._standing(key))
        keep({line["index"] for line in lines})
        return results.summary_of(part, lines) | {"etag": etag}

    def _again(self, task: _Task, found: Found, again: Again) -> Found:
        """Does records again and puts them into the part as it then is; returns what stands."""
        key = task.key("results")
        found, part = results.standing(found, self._store, task.job, task.shard)
        wanted = {each["index"] for each in part.lines if again.wants(each)}
        chosen = [each for each in self._rendered(task) if each.index in wanted]
        lines, keep = self._caption_all(chosen, task, again)
        made = {line["index"]: line for line in lines}
        while True:
            new, placed = retry.merged(found.data, made, again)
            if not placed:
                return found
            with markers.changing(self._store, task.job.job):
                etag = self._store.put_matching(key, new, found.etag, "application/x-ndjson")
            if etag is not None:
                keep(placed)
                return Found(new, etag)
            found, _ = results.standing(self._standing(key), self._store, task.job, task.shard)
            if not any(map(self._store.exists, again.keys)):
                return found  # another worker has done it, or it was cancelled

    def _summary(self, task: _Task, found: Found) -> dict[str, Any]:
        found, part = results.standing(found, self._store, task.job, task.shard)
        return part.summary | {"etag": found.etag}

    def _verify(self, task: _Task, part: Found, again: Again) -> Found:
        """Has captions asked back and puts the verdicts into the part as it then is."""
        key = task.key("results")
        rendered = {record.index: record for record in self._rendered(task)}
        before = {
            line["index"]: line
            for line in results.parse_part(part.data)
            if line["index"] in again.verify
            and line["error"] is None
            and rendered[line["index"]].views
        }
        records = [_with_captions(rendered[index], line) for index, line in before.items()]
        # What a person wrote is never replaced.
        ours = {index for index, line in before.items() if not line.get("edited")}
        done = self._ask_back(records, task, ours if again.verify_as == "retry" else set())
        made = {each.record.index: with_verdicts(before[each.record.index], each) for each in done}
        while True:
            new, placed = retry.with_verdicts(part.data, made, before)
            if not placed:
                return part
            with markers.changing(self._store, task.job.job):
                etag = self._store.put_matching(key, new, part.etag, "application/x-ndjson")
            if etag is not None:
                return Found(new, etag)
            part, _ = results.standing(self._standing(key), self._store, task.job, task.shard)

    def _ask_back(
        self, records: Sequence[RenderedRecord], task: _Task, retries: Set[int]
    ) -> list[Captioned]:
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

    def _standing(self, key: str) -> Found:
        part = self._store.find_tagged(key)
        if part is None:
            raise StoreError(f"{key} is gone from the store")
        return part

    def _rendered(self, task: _Task) -> list[RenderedRecord]:
        try:
            part = self._store.get(task.key("rendered"))
        except NotFoundError:
            # Reconciling finds it out and has it rendered; until then the shard waits.
            raise StoreError(
                f"shard {task.shard} of {task.job.job} is not rendered", code="not-rendered"
            ) from None
        records = parts.rendered(part, self._store, task.job, task.shard)
        grid = self._engine.engine.grid
        if grid is not None and not grids.fit(records, grid):
            raise _OtherGridError(grid)
        return records

    def _have_rendered(self, job: Job, shard: int, grid: Grid) -> str:
        """Has pictures made anew that the model would have resized, and their marks with them."""
        _log.warning(
            "the pictures are not made for this model; they are made anew",
            model=self._engine.engine.model,
            made_for=job.grid.cell_px,
            cell_px=grid.cell_px,
            max_pixels=grid.max_pixels,
        )
        grids.change(self._store, job, grid)
        self._sender.render(job, [shard])
        return "rendered anew"

    def _caption_all(
        self,
        records: Sequence[RenderedRecord],
        task: _Task,
        again: Again | None = None,
    ) -> tuple[list[dict[str, Any]], Callable[[Set[int]], None]]:
        """Lines of the results; a retry takes over no captions of records that it wants anew.

        Also returns what keeps captions for later jobs, to be called with the places of those that
        the results hold.
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
        asked = self._ask_all(rest, task)
        try:
            self._trial.examine(asked, task.turn)
        except BaseException:
            task.partial.drop()
            raise
        done += asked

        def keep(placed: Set[int]) -> None:
            if self._keeps:
                self._kept.keep([d for d in done if d.record.index in placed], names, job)

        whole = known | {captioned.record.index: captioned for captioned in done}
        return [self._line(whole[record.index], task) for record in records], keep

    def _ask_all(self, records: Sequence[RenderedRecord], task: _Task) -> list[Captioned]:
        if (quarantine := task.turn.quarantine) is None:
            return self._ask_engine(records, task)

        def ask(some: Sequence[RenderedRecord]) -> list[Captioned]:
            done = self._ask_engine(some, task)
            task.partial.keep()  # what comes next may be the end of this process
            return done

        def give_up(record: RenderedRecord, problem: Problem) -> Captioned:
            return Captioned(record.model_copy(update={"error": problem}))

        return quarantine.in_halves(records, ask, give_up)

    def _ask_engine(self, records: Sequence[RenderedRecord], task: _Task) -> list[Captioned]:
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
        task: _Task,
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
            self._purse.spend(self._progress(job.job).redis, job, spent_ms)
        asked = [captioned for captioned in done if captioned.requests]
        self._share_out(share.seconds, asked, len(asked))
        return done

    def _share_out(self, seconds: float, done: Sequence[Captioned], count: int) -> None:
        """Gives records their part of the time that so many took."""
        for captioned in done:
            captioned.gpu_ms = round(1000 * seconds * self._gpus / count)

    def _fetch(self, records: Sequence[RenderedRecord], task: _Task) -> dict[str, bytes]:
        view_keys = [view.key for record in records for view in record.all_views]
        try:
            return dict(zip(view_keys, self._pool.map(self._store.get, view_keys), strict=True))
        except NotFoundError:
            if task.job.settings.keep_marked:
                raise
            raise _NotDrawnError from None

    def _crop_maker(self, how: ViewSettings) -> CropMaker:
        def crop(record: RenderedRecord, chosen: Sequence[Region]) -> list[Shown]:
            return crop_regions(record, chosen, self._originals.read(record), how)

        return crop

    def _line(self, captioned: Captioned, task: _Task) -> dict[str, Any]:
        record = output_record(
            captioned,
            task.job,
            self._store,
            result_file=self._store.uri(task.key("results")),
            engine=self._engine.engine.name,
            model=self._engine.engine.model,
        )
        metrics.add_record(record)
        return record


def _requests(record: RenderedRecord) -> int:
    """How many requests a record begins with."""
    return 0 if record.error is not None else len(record.all_views)


class _NotDrawnError(Exception):
    """Pictures that are not kept are to be drawn again."""


class _OtherGridError(Exception):
    """Pictures were made for another model."""

    def __init__(self, grid: Grid) -> None:
        super().__init__("pictures were made for another model")
        self.grid = grid


def _with_captions(record: RenderedRecord, line: dict[str, Any]) -> RenderedRecord:
    """A rendered record with the regions of its result."""
    regions = [Region.model_validate(region) for region in line["regions"]]
    return record.model_copy(update={"regions": regions})


def _answered(
    future: Future[list[Captioned]], pulse: Pulse, keep_s: float, keep: Callable[[], None]
) -> list[Captioned]:
    """What came of a request to the engine; it is taken out where nothing comes any more.

    Args:
        future: The request.
        pulse: Tells for how long nothing has been answered.
        keep_s: So often what is answered is kept.
        keep: Keeps it.

    Raises:
        EngineError: Nothing was answered for as long as a shard may be silent (`engine-silent`).
    """
    while True:
        left_s = pulse.left_s
        if not left_s:
            future.cancel()
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
