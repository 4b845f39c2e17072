"""The caption stage: from a shard's rendered part to its results part.

The stage runs in many threads, a shard each; the engine behind it sees all their records at once.
"""

from __future__ import annotations

from collections.abc import Callable, Sequence, Set
from concurrent.futures import CancelledError
from typing import Any

import structlog

from regioncap import keys, metrics
from regioncap.captions.conversation import Captioned
from regioncap.engines import base
from regioncap.engines.thread import EngineThread
from regioncap.errors import NotFoundError, StoppedError, StoreError
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
from regioncap.jobs.captioner import Captioner, NotDrawnError, ShardInHand
from regioncap.jobs.load import Load
from regioncap.jobs.output import output_record, with_verdicts
from regioncap.jobs.partial import Partials
from regioncap.jobs.retry import Again
from regioncap.jobs.turn import Turn
from regioncap.parallel import REAL, Runtime
from regioncap.records import Region, RenderedRecord, dump_lines
from regioncap.services.progress import Progress
from regioncap.services.sender import Sender
from regioncap.services.store import Found, Store
from regioncap.settings import Settings

#: An engine may be silent about a shard for so many times what it takes over a request at most.
_AFTER = 1.5

_log = structlog.get_logger("regioncap")


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
        self._load = load or Load()
        self._partials = Partials(store, runtime)
        self._runtime = runtime
        self._captioner = Captioner(
            store,
            engine,
            progress,
            settings,
            gpus=gpus,
            keep_captions=keep_captions,
            threads=threads,
            runtime=runtime,
        )

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
        partial = self._partials.of(job_id, shard, is_first=turn.is_first)
        try:
            with self._load.shard() as load:
                return self._do(ShardInHand(job, shard, turn, load, partial))
        except _OtherGridError as error:
            return self._have_rendered(job, shard, error.grid)
        except NotDrawnError:
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
        self._captioner.trial.check()

    def try_out(self, why: str) -> None:
        """As `Trial.try_out`."""
        self._captioner.trial.try_out(why)

    def jobs_in_hand(self) -> set[str]:
        """Jobs that have requests in the engine."""
        return self._captioner.jobs_in_hand()

    def stop(self, job_id: str | None = None) -> None:
        """Takes a job's requests out of the engine; or all, and those still to come."""
        self._captioner.stop(job_id)

    def _do(self, task: ShardInHand) -> str:
        job, shard = task.job, task.shard
        # The engine's own limits come first: they know which request is to blame.
        longest_s = base.longest_s(self._engine.engine, job.settings.max_tokens)
        task.turn.pulse.allow(_AFTER * longest_s)
        found = self._store.find_tagged(task.key("results"))
        again = None if found is None else retry.find(self._store, job.job, shard)
        is_work = found is None or again is not None
        if is_work and self._captioner.purse.is_spent(self._progress(job.job).redis, job):
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

    def _remove_marked(self, task: ShardInHand) -> None:
        """Removes the shard's pictures: its results stand."""
        part = self._store.find(task.key("rendered"))
        if part is not None:
            marked.remove(self._store, parts.rendered(part, self._store, task.job, task.shard))

    def _first(self, task: ShardInHand) -> dict[str, Any]:
        """Makes the results part, and returns the summary of the one that stands.

        Where two workers have done the same shard, the first one's stays: readers may have seen it,
        and with sampling the second one's differs.
        """
        key = task.key("results")
        lines, keep = self._lines(self._rendered(task), task)
        part = dump_lines(lines)
        etag = self._store.put_new(key, part, "application/x-ndjson")
        if etag is None:
            lost_ms = sum(line["usage"]["gpu_ms"] for line in lines)
            metrics.add("gpu_seconds_lost", lost_ms / 1000)
            return self._summary(task, self._standing(key))
        keep({line["index"] for line in lines})
        return results.summary_of(part, lines) | {"etag": etag}

    def _again(self, task: ShardInHand, found: Found, again: Again) -> Found:
        """Does records again and puts them into the part as it then is; returns what stands."""
        key = task.key("results")
        found, part = results.standing(found, self._store, task.job, task.shard)
        wanted = {each["index"] for each in part.lines if again.wants(each)}
        chosen = [each for each in self._rendered(task) if each.index in wanted]
        lines, keep = self._lines(chosen, task, again)
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

    def _summary(self, task: ShardInHand, found: Found) -> dict[str, Any]:
        found, part = results.standing(found, self._store, task.job, task.shard)
        return part.summary | {"etag": found.etag}

    def _verify(self, task: ShardInHand, part: Found, again: Again) -> Found:
        """Has captions asked back and puts the verdicts into the part as it then is."""
        key = task.key("results")
        rendered = {record.index: record for record in self._rendered(task)}
        before = {
            line["index"]: line
            for line in results.parse_part(part.data)
            if line["index"] in again.verify
            and line["error"] is None
            and rendered[line["index"]].views
            # Drawn anew for another model, proposals may be others: nothing shows its regions.
            and _are_shown(line, rendered[line["index"]])
        }
        records = [_with_captions(rendered[index], line) for index, line in before.items()]
        # What a person wrote is never replaced.
        ours = {index for index, line in before.items() if not line.get("edited")}
        done = self._captioner.ask_back(
            records, task, ours if again.verify_as == "retry" else set()
        )
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

    def _standing(self, key: str) -> Found:
        part = self._store.find_tagged(key)
        if part is None:
            raise StoreError(f"{key} is gone from the store")
        return part

    def _rendered(self, task: ShardInHand) -> list[RenderedRecord]:
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

    def _lines(
        self,
        records: Sequence[RenderedRecord],
        task: ShardInHand,
        again: Again | None = None,
    ) -> tuple[list[dict[str, Any]], Callable[[Set[int]], None]]:
        """Lines of the results, and what keeps captions; as `Captioner.caption`."""
        done, keep = self._captioner.caption(records, task, again)
        return [self._line(captioned, task) for captioned in done], keep

    def _line(self, captioned: Captioned, task: ShardInHand) -> dict[str, Any]:
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


class _OtherGridError(Exception):
    """Pictures were made for another model."""

    def __init__(self, grid: Grid) -> None:
        super().__init__("pictures were made for another model")
        self.grid = grid


def _are_shown(line: dict[str, Any], record: RenderedRecord) -> bool:
    """Whether a rendered record shows the regions of a result."""
    shown = [None if each.bbox is None else list(each.bbox) for each in record.regions]
    return [each["bbox"] for each in line["regions"]] == shown


def _with_captions(record: RenderedRecord, line: dict[str, Any]) -> RenderedRecord:
    """A rendered record with the regions of its result."""
    regions = [Region.model_validate(region) for region in line["regions"]]
    return record.model_copy(update={"regions": regions})
