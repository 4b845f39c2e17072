"""The render stage: from a shard's input part to marked pictures and its rendered part.

`render_record` is pure; `RenderStage` moves the bytes. Each record's failure is its own: what the
stage raises means that the shard could not be done at all and is to be tried again.
"""

from __future__ import annotations

from collections.abc import Callable, Sequence

from regioncap import keys
from regioncap.errors import RecordError, ServiceError
from regioncap.inputs.originals import Originals
from regioncap.job import Job
from regioncap.jobs import budgets, catalogue, grids, own_pictures, parts, retry
from regioncap.jobs.retry import Again
from regioncap.jobs.turn import Turn
from regioncap.parallel import REAL, Runtime
from regioncap.records import InputRecord, Problem, RenderedRecord, dump_lines
from regioncap.services.claims import is_claimed
from regioncap.services.progress import Progress
from regioncap.services.sender import Sender
from regioncap.services.store import Store
from regioncap.settings import Settings
from regioncap.views.render import Rendered, render_record
from regioncap.views.view import Limits, ViewSettings


class RenderStage:
    """Runs the render stage of shards.

    Args:
        store: Where all lies.
        settings: Limits, and the buckets that may be read.
        sender: Asks for the next stage.
        progress: Gives the progress of a job.
        threads: Requests to the store at a time.
        runtime: The threads.
    """

    def __init__(
        self,
        store: Store,
        settings: Settings,
        sender: Sender,
        progress: Callable[[str], Progress],
        *,
        threads: int = 8,
        runtime: Runtime = REAL,
    ) -> None:
        self._store = store
        self._sender = sender
        self._progress = progress
        self._limits = Limits.of(settings)
        self._originals = Originals(store, settings)
        self._pool = runtime.pool(threads, "render-io")

    def run(self, job_id: str, shard: int, turn: Turn | None = None) -> str:
        """Does one shard and asks for its captions; returns what became of it, for the log.

        Args:
            job_id: The job.
            shard: The shard.
            turn: What the worker says of this go at it.

        Raises:
            ServiceError: The store or Redis is away, or a source is refused for the first times.
        """
        turn = turn or Turn()
        job = catalogue.load_shard(self._store, job_id, shard)
        if self._store.exists(keys.cancelled_key(job_id)):
            return "cancelled"
        if budgets.is_paused(self._store, job):
            return "paused"
        key = keys.part_key(job_id, "rendered", shard)
        grid, outcome = grids.of_job(self._store, job), "already done"
        how = ViewSettings.of(job, self._limits, grid)
        standing = self._store.find_tagged(key)
        if standing is None:
            part = self._render_all(self._submitted(job, shard, turn), how, turn)
            self._store.put_new(key, dump_lines(part), "application/x-ndjson")
            outcome = "done"
        elif not grids.fit(parts.rendered(standing.data, self._store, job, shard), grid):
            part = self._render_all(self._submitted(job, shard, turn), how, turn)
            # Where another worker was quicker, what it made fits as well.
            self._store.put_matching(key, dump_lines(part), standing.etag, "application/x-ndjson")
            outcome = "done anew"
        elif (again := retry.find(self._store, job_id, shard)) or self._lacks_marked(job, shard):
            self._render_again(job, shard, again, how, turn)
            outcome = "done"
        self._progress(job_id).note_rendered(shard)
        if outcome != "already done" or not self._is_captioned(job_id, shard):
            self._sender.caption(job, [shard])
        return outcome

    def check(self) -> None:
        """Returns if our own pictures can be drawn.

        Raises:
            ServiceError: They cannot (`worker-unwell`): no record is to blame for what failed.
        """
        try:
            own_pictures.render(self._limits)
        except Exception as error:
            raise ServiceError(
                f"this render worker cannot draw our own picture: {error}",
                code="worker-unwell",
                hint="see its log; stop it if others are well",
            ) from error

    def _is_captioned(self, job_id: str, shard: int) -> bool:
        """Whether a shard has its captions, or is just getting them."""
        if self._store.exists(keys.part_key(job_id, "results", shard)):
            return True
        return is_claimed(self._progress(job_id).redis, job_id, "caption", shard)

    def _submitted(self, job: Job, shard: int, turn: Turn) -> list[InputRecord]:
        return parts.submitted(self._store, job, shard, turn.waited)

    def _render_again(
        self, job: Job, shard: int, again: Again | None, how: ViewSettings, turn: Turn
    ) -> None:
        """Renders records of a part again, into it as it then is.

        One that cannot be drawn any more becomes an error there: captions would wait for its
        pictures, and have it rendered again, for ever.
        """
        key, done = keys.part_key(job.job, "rendered", shard), dict[int, RenderedRecord]()
        while (part := self._store.find_tagged(key)) is not None:
            before = parts.rendered(part.data, self._store, job, shard)
            wanted = {record.index for record in before if _is_wanted(record, job, again)}
            if not wanted:
                return
            missing = wanted - done.keys()
            rest = [r for r in self._submitted(job, shard, turn) if r.index in missing]
            done |= {record.index: record for record in self._render_all(rest, how, turn)}
            new = dump_lines(done[r.index] if r.index in wanted else r for r in before)
            if new == part.data:
                return
            if self._store.put_matching(key, new, part.etag, "application/x-ndjson"):
                return

    def _lacks_marked(self, job: Job, shard: int) -> bool:
        """Whether pictures that are not kept may be gone although captions are still to come."""
        if job.settings.keep_marked:
            return False
        return not self._store.exists(keys.part_key(job.job, "results", shard))

    def _render_all(
        self, records: Sequence[InputRecord], how: ViewSettings, turn: Turn
    ) -> list[RenderedRecord]:
        if turn.quarantine is None:
            return self._render_together(records, how, turn)
        return [self._render_in_quarantine(record, how, turn) for record in records]

    def _render_together(
        self, records: Sequence[InputRecord], how: ViewSettings, turn: Turn
    ) -> list[RenderedRecord]:
        sources = [self._pool.submit(self._fetch, record, turn) for record in records]
        done, uploads = [], []
        for record, source in zip(records, sources, strict=True):
            rendered, pictures = self._render_one(record, source.result(), how)
            turn.pulse.beat()
            done.append(rendered)
            uploads += [
                self._pool.submit(self._store.put, key, jpeg, "image/jpeg")
                for key, jpeg in pictures
            ]
        for upload in uploads:
            upload.result()
            turn.pulse.beat()
        return done

    def _render_in_quarantine(
        self, record: InputRecord, how: ViewSettings, turn: Turn
    ) -> RenderedRecord:
        assert turn.quarantine is not None  # noqa: S101 - for the type

        def work() -> RenderedRecord:
            return self._render_together([record], how, turn)[0]

        def give_up(problem: Problem) -> RenderedRecord:
            return _failed(record, problem)

        return turn.quarantine.alone(record.index, work, give_up)

    def _render_one(
        self, record: InputRecord, source: bytes | RecordError, how: ViewSettings
    ) -> Rendered:
        if record.error is not None:
            return RenderedRecord.of(record), []
        if isinstance(source, RecordError):
            return _failed(record, Problem.of(source, "render")), []
        return render_record(record, source, how)

    def _fetch(self, record: InputRecord, turn: Turn) -> bytes | RecordError:
        """The source's bytes, or why this record has none."""
        if record.error is not None:
            return b""
        try:
            return self._originals.read(record, turn.waited)
        except RecordError as error:
            return error


def _is_wanted(record: RenderedRecord, job: Job, again: Again | None) -> bool:
    """Whether a record of a rendered part is to be rendered again.

    Of a retry that is one that failed in this stage; pictures that are not kept are drawn for all
    that are captioned again, or whose captions are asked back, and for all records without retry.
    """
    if again is None:
        return True
    if job.settings.keep_marked:
        failed = record.error is not None and record.error.stage == "render"
        return failed and record.index in again.indices
    return record.index in again.indices | again.flagged | again.verify


def _failed(record: InputRecord, problem: Problem) -> RenderedRecord:
    return RenderedRecord.of(record.model_copy(update={"error": problem}))
