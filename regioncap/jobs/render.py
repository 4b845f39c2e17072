"""The render stage: from a shard's input part to marked pictures and its rendered part.

`render_record` is pure; `RenderStage` moves the bytes. Each record's failure is its own: what the
stage raises means that the shard could not be done at all and is to be tried again.
"""

from __future__ import annotations

from collections.abc import Callable, Sequence
from concurrent.futures import ThreadPoolExecutor

from regioncap import keys
from regioncap.errors import RecordError
from regioncap.inputs.originals import Originals
from regioncap.job import Job
from regioncap.jobs import catalogue, retry
from regioncap.jobs.retry import Again
from regioncap.records import InputRecord, Problem, RenderedRecord, dump_lines, load_lines
from regioncap.services.attempts import Quarantine
from regioncap.services.progress import Progress
from regioncap.services.queue import Sender
from regioncap.services.store import Store
from regioncap.settings import Settings
from regioncap.views.render import Rendered, render_record
from regioncap.views.view import Limits


class RenderStage:
    """Runs the render stage of shards.

    Args:
        store: Where all lies.
        settings: Limits, and the buckets that may be read.
        sender: Asks for the next stage.
        progress: Gives the progress of a job.
        threads: Requests to the store at a time.
    """

    def __init__(
        self,
        store: Store,
        settings: Settings,
        sender: Sender,
        progress: Callable[[str], Progress],
        *,
        threads: int = 8,
    ) -> None:
        self._store = store
        self._sender = sender
        self._progress = progress
        self._limits = Limits.of(settings)
        self._originals = Originals(store, settings)
        self._pool = ThreadPoolExecutor(threads, thread_name_prefix="render-io")

    def run(self, job_id: str, shard: int, quarantine: Quarantine | None = None) -> str:
        """Does one shard and asks for its captions; returns what became of it, for the log.

        Args:
            job_id: The job.
            shard: The shard.
            quarantine: Runs the records one at a time, if given.
        """
        job = catalogue.load(self._store, job_id)
        if self._store.exists(keys.cancelled_key(job_id)):
            return "cancelled"
        key = keys.part_key(job_id, "rendered", shard)
        again = retry.find(self._store, job_id, shard)
        outcome = "already done"
        if again is not None or not self._store.exists(key):
            part = self._rendered(job, shard, again, quarantine)
            self._store.put(key, dump_lines(part), "application/x-ndjson")
            outcome = "done"
        self._progress(job_id).note_rendered(shard)
        self._sender.caption(job, [shard])
        return outcome

    def _rendered(
        self, job: Job, shard: int, again: Again | None, quarantine: Quarantine | None
    ) -> list[RenderedRecord]:
        """The shard's records, rendered; for a retry, those again that failed in this stage."""
        records = self._submitted(job, shard)
        known = self._store.find(keys.part_key(job.job, "rendered", shard)) if again else None
        if again is None or known is None:
            return self._render(records, job, quarantine)
        before = load_lines(RenderedRecord, known)
        failed = {r.index for r in before if r.error is not None and r.error.stage == "render"}
        chosen = [record for record in records if record.index in failed & again.indices]
        done = {record.index: record for record in self._render(chosen, job, quarantine)}
        return [done.get(record.index, record) for record in before]

    def _submitted(self, job: Job, shard: int) -> list[InputRecord]:
        """The shard's records; should their part be gone, each of them says so."""
        key = keys.part_key(job.job, "input", shard)
        part = self._store.find(key)
        if part is not None:
            return load_lines(InputRecord, part)
        gone = Problem(
            code="input-lost",
            message=f"{key} is gone from the store (submit it again)",
            stage="render",
        )
        return [
            InputRecord(index=index, line=index + 1, error=gone)
            for index in job.shard_records(shard)
        ]

    def _render(
        self, records: Sequence[InputRecord], job: Job, quarantine: Quarantine | None
    ) -> list[RenderedRecord]:
        if quarantine is not None:
            return [self._alone(record, job, quarantine) for record in records]
        sources = [self._pool.submit(self._fetch, record) for record in records]
        done, uploads = [], []
        for record, source in zip(records, sources, strict=True):
            rendered, pictures = self._one(record, source.result(), job)
            done.append(rendered)
            uploads += [
                self._pool.submit(self._store.put, key, jpeg, "image/jpeg")
                for key, jpeg in pictures
            ]
        for upload in uploads:
            upload.result()
        return done

    def _alone(self, record: InputRecord, job: Job, quarantine: Quarantine) -> RenderedRecord:
        def work() -> RenderedRecord:
            return self._render([record], job, None)[0]

        def give_up(problem: Problem) -> RenderedRecord:
            return RenderedRecord(**record.model_dump() | {"error": problem})

        return quarantine.alone(record.index, work, give_up)

    def _one(self, record: InputRecord, source: bytes | RecordError, job: Job) -> Rendered:
        if record.error is not None:
            return RenderedRecord(**record.model_dump()), []
        if isinstance(source, RecordError):
            record.error = Problem.of(source, "render")
            return RenderedRecord(**record.model_dump()), []
        return render_record(record, source, job, self._limits)

    def _fetch(self, record: InputRecord) -> bytes | RecordError:
        """The source's bytes, or why this record has none."""
        if record.error is not None:
            return b""
        try:
            return self._originals.read(record)
        except RecordError as error:
            return error
