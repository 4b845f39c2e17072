"""The caption stage: from a shard's rendered part to its results part.

The stage runs in many threads, a shard each; the engine behind it sees all their records at once.
"""

from __future__ import annotations

from collections.abc import Callable, Sequence
from concurrent.futures import ThreadPoolExecutor

from regioncap import finish, jobs, layout, results
from regioncap.captioning import Captioned, CropMaker, caption_records
from regioncap.engines.thread import EngineThread
from regioncap.jobs import Job
from regioncap.progress import Progress
from regioncap.records import Region, RenderedRecord, dump_lines, load_lines
from regioncap.settings import Settings
from regioncap.sources import Sources
from regioncap.store import Store
from regioncap.views import Limits, Shown, crop_regions


class CaptionStage:
    """Runs the caption stage of shards.

    Args:
        store: Where all lies.
        engine: A started engine.
        progress: Gives the progress of a job.
        settings: Limits, and the buckets that may be read.
        threads: Requests to the store at a time, over all shards in hand.
    """

    def __init__(
        self,
        store: Store,
        engine: EngineThread,
        progress: Callable[[str], Progress],
        settings: Settings,
        *,
        threads: int = 16,
    ) -> None:
        self._store = store
        self._engine = engine
        self._progress = progress
        self._limits = Limits.of(settings)
        self._sources = Sources(store, settings)
        self._pool = ThreadPoolExecutor(threads, thread_name_prefix="caption-io")

    def run(self, job_id: str, shard: int) -> str:
        """Does one shard, and the job's end if it is the last; says what became of it."""
        job = jobs.load(self._store, job_id)
        if self._store.exists(layout.cancelled_key(job_id)):
            return "cancelled"
        key = layout.results_key(job_id, shard)
        part, outcome = self._store.find(key), "already done"
        if part is None:
            part, outcome = self._caption(job, shard), "done"
            self._store.put(key, part, "application/x-ndjson")
        progress = self._progress(job_id)
        if progress.note_part(shard, results.summarize(part)) >= job.shards:
            finish.finish(self._store, progress, job)
        return outcome

    def _caption(self, job: Job, shard: int) -> bytes:
        rendered = self._store.get(layout.rendered_key(job.job, shard))
        records = load_lines(RenderedRecord, rendered)
        pictures = self._fetch(records)
        done = self._engine.run(
            caption_records(records, pictures, self._engine.engine, job, self._crops(job))
        ).result()
        return dump_lines(self._output(captioned, job, shard) for captioned in done)

    def _fetch(self, records: Sequence[RenderedRecord]) -> dict[str, bytes]:
        keys = [view.key for record in records for view in record.views]
        return dict(zip(keys, self._pool.map(self._store.get, keys), strict=True))

    def _crops(self, job: Job) -> CropMaker:
        def crop(record: RenderedRecord, chosen: Sequence[Region]) -> list[Shown]:
            return crop_regions(record, chosen, self._sources.read(record), job, self._limits)

        return crop

    def _output(self, captioned: Captioned, job: Job, shard: int) -> dict[str, object]:
        return results.output_record(
            captioned,
            job,
            self._store,
            result_file=self._store.uri(layout.results_key(job.job, shard)),
            engine=self._engine.engine.name,
            model=self._engine.engine.model,
        )
