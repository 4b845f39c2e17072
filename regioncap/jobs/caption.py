"""The caption stage: from a shard's rendered part to its results part.

The stage runs in many threads, a shard each; the engine behind it sees all their records at once.
"""

from __future__ import annotations

import threading
from collections.abc import Callable, Sequence, Set
from concurrent.futures import CancelledError, Future, ThreadPoolExecutor
from typing import Any

from regioncap import keys, metrics
from regioncap.captions.conversation import Captioned, CropMaker, caption_records
from regioncap.engines.thread import EngineThread
from regioncap.errors import NotFoundError, StoppedError, StoreError
from regioncap.inputs.originals import Originals
from regioncap.job import Job
from regioncap.jobs import catalogue, finish, results, retry
from regioncap.jobs.gpu_time import BusyClock
from regioncap.jobs.output import output_record
from regioncap.jobs.retry import Again
from regioncap.jobs.reuse import Captions, fingerprint
from regioncap.records import Problem, Region, RenderedRecord, dump_lines, load_lines
from regioncap.services.attempts import Quarantine
from regioncap.services.progress import Progress
from regioncap.services.store import Store
from regioncap.settings import Settings
from regioncap.views.view import Limits, Shown, crop_regions


class CaptionStage:
    """Runs the caption stage of shards.

    Args:
        store: Where all lies.
        engine: A started engine.
        progress: Gives the progress of a job.
        settings: Limits, and the buckets that may be read.
        gpus: How many GPUs the engine keeps busy.
        keep_captions: Whether captions are kept for later jobs that reuse them.
        threads: Requests to the store at a time, over all shards in hand.
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
    ) -> None:
        self._store = store
        self._engine = engine
        self._progress = progress
        self._limits = Limits.of(settings)
        self._originals = Originals(store, settings)
        self._pool = ThreadPoolExecutor(threads, thread_name_prefix="caption-io")
        self._captions = Captions(store, self._pool)
        self._keep_captions = keep_captions
        self._gpus = gpus
        self._clock = BusyClock()
        self._lock = threading.Lock()
        #: Requests in the engine, with their jobs.
        self._asked: list[tuple[str, Future[list[Captioned]]]] = []

    def run(self, job_id: str, shard: int, quarantine: Quarantine | None = None) -> str:
        """Does one shard, and the job's end if it is the last; says what became of it.

        Args:
            job_id: The job.
            shard: The shard.
            quarantine: Runs the records one at a time, if given.

        Raises:
            StoppedError: `stop` was called for all jobs.
        """
        job = catalogue.load(self._store, job_id)
        if self._store.exists(keys.cancelled_key(job_id)):
            return "cancelled"
        try:
            return self._run(job, shard, quarantine)
        except CancelledError:
            if self._store.exists(keys.cancelled_key(job_id)):
                return "cancelled"
            raise StoppedError("the worker is told to stop") from None

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

    def _run(self, job: Job, shard: int, quarantine: Quarantine | None) -> str:
        key = keys.part_key(job.job, "results", shard)
        part, outcome = self._store.find(key), "already done"
        again = retry.find(self._store, job.job, shard)
        if part is None or again is not None:
            made = self._part(job, shard, part, again, quarantine)
            part, outcome = self._save(key, made, replace=again is not None), "done"
        if again is not None:
            retry.end(self._store, job.job, shard)
        progress = self._progress(job.job)
        if progress.note_part(shard, results.summarize(part)) >= job.shards:
            finish.finish(self._store, progress, job)
        return outcome

    def _save(self, key: str, made: bytes, *, replace: bool) -> bytes:
        """Writes the part and returns the one that stands.

        Where two workers have done the same shard, the first one's stays: readers may have seen it,
        and with sampling the second one's differs.
        """
        if replace:
            self._store.put(key, made, "application/x-ndjson")
        elif not self._store.put_new(key, made, "application/x-ndjson"):
            return self._store.get(key)
        return made

    def _part(
        self,
        job: Job,
        shard: int,
        known: bytes | None,
        again: Again | None,
        quarantine: Quarantine | None,
    ) -> bytes:
        """The results part; for a retry the known one, with what is chosen done again."""
        try:
            rendered = self._store.get(keys.part_key(job.job, "rendered", shard))
        except NotFoundError:
            # Reconciling finds it out and has it rendered; until then the shard waits.
            raise StoreError(
                f"shard {shard} of {job.job} is not rendered", code="not-rendered"
            ) from None
        records = load_lines(RenderedRecord, rendered)
        if known is None or again is None:
            return dump_lines(self._caption(records, job, shard, quarantine))
        before = results.parse_part(known)
        failed = {record["index"] for record in before if record["error"] is not None}
        wanted = failed & again.indices | again.flagged
        chosen = [record for record in records if record.index in wanted]
        lines = self._caption(chosen, job, shard, quarantine, anew=again.flagged)
        done = {line["index"]: line for line in lines}
        return dump_lines(done.get(record["index"], record) for record in before)

    def _caption(
        self,
        records: Sequence[RenderedRecord],
        job: Job,
        shard: int,
        quarantine: Quarantine | None,
        anew: Set[int] = frozenset(),
    ) -> list[dict[str, Any]]:
        """Lines of the results; captions made earlier are not taken over for records `anew`."""
        names = self._fingerprints(records, job)
        old = [record for record in records if record.index not in anew]
        known = self._captions.find(old, names) if job.settings.reuse else {}
        rest = [record for record in records if record.index not in known]
        if quarantine is None:
            done = self._ask(rest, job)
        else:
            done = [self._alone(record, job, quarantine) for record in rest]
        if self._keep_captions:
            self._captions.keep(done, names, job)
        whole = known | {captioned.record.index: captioned for captioned in done}
        return [self._output(whole[record.index], job, shard) for record in records]

    def _fingerprints(self, records: Sequence[RenderedRecord], job: Job) -> dict[int, str]:
        if not (self._keep_captions or job.settings.reuse):
            return {}
        named = ((r.index, fingerprint(r, job, self._engine.engine)) for r in records)
        return {index: name for index, name in named if name is not None}

    def _ask(self, records: Sequence[RenderedRecord], job: Job) -> list[Captioned]:
        pictures = self._fetch(records)
        future = self._engine.run(
            caption_records(records, pictures, self._engine.engine, job, self._crops(job))
        )
        entry = (job.job, future)
        with self._lock:
            self._asked.append(entry)
        try:
            with self._clock.working() as share:
                done = future.result()
        finally:
            with self._lock:
                self._asked.remove(entry)
        asked = [captioned for captioned in done if captioned.requests]
        for captioned in asked:
            captioned.gpu_ms = round(1000 * share.seconds * self._gpus / len(asked))
        return done

    def _alone(self, record: RenderedRecord, job: Job, quarantine: Quarantine) -> Captioned:
        def give_up(problem: Problem) -> Captioned:
            return Captioned(record.model_copy(update={"error": problem}))

        return quarantine.alone(record.index, lambda: self._ask([record], job)[0], give_up)

    def _fetch(self, records: Sequence[RenderedRecord]) -> dict[str, bytes]:
        view_keys = [view.key for record in records for view in record.views]
        return dict(zip(view_keys, self._pool.map(self._store.get, view_keys), strict=True))

    def _crops(self, job: Job) -> CropMaker:
        def crop(record: RenderedRecord, chosen: Sequence[Region]) -> list[Shown]:
            return crop_regions(record, chosen, self._originals.read(record), job, self._limits)

        return crop

    def _output(self, captioned: Captioned, job: Job, shard: int) -> dict[str, Any]:
        record = output_record(
            captioned,
            job,
            self._store,
            result_file=self._store.uri(keys.part_key(job.job, "results", shard)),
            engine=self._engine.engine.name,
            model=self._engine.engine.model,
        )
        metrics.add_record(record)
        return record
