"""`Client`: submit jobs to running services, wait for them, read and change their results.

client = Client()                     # settings as the command finds it
job = client.submit("my.jsonl")
client.wait(job)
for record in client.results(job): ...

The command uses the same client. Celery, Pillow and the readers of inputs are imported only where
they are needed, so that reading a job's status is quick.
"""

from __future__ import annotations

import sys
import time
import warnings
from collections.abc import Callable, Iterator, Mapping
from dataclasses import dataclass
from functools import cached_property
from pathlib import Path
from typing import TYPE_CHECKING, Any

import redis

from regioncap.errors import UsageError
from regioncap.job import Job
from regioncap.jobs import advice, catalogue, lookup, results
from regioncap.jobs.status import JobStatus, job_status, pause_s
from regioncap.services.broker import await_loaded, connect
from regioncap.services.progress import Progress
from regioncap.services.sender import Sender
from regioncap.services.store import Store
from regioncap.settings import Settings, Verify, load_settings

if TYPE_CHECKING:
    from regioncap.jobs.audits import FlaggedRegion, JobAudit
    from regioncap.jobs.cancel import Outcome
    from regioncap.jobs.reconcile import Reconciled
    from regioncap.jobs.submission import Records, Submission, Submitted
    from regioncap.jobs.submit import Tally
    from regioncap.outputs.exports.job import Exported
    from regioncap.outputs.gallery import Viewed
    from regioncap.outputs.notebook import JobId, Jobs, Results
    from regioncap.outputs.versions import Changes

#: A job: its id, the beginning of one, or its name; or itself. None is the latest.
AnyJob = str | Job | None


#: Longest side of a picture in a notebook, pixels.
_SMALL_SIDE = 600


def _warn(text: str) -> None:
    """Warns the program that called the client, whatever of the client lies between."""
    level, frame = 2, sys._getframe(1)
    while frame.f_back is not None and frame.f_globals["__name__"].startswith("regioncap."):
        level, frame = level + 1, frame.f_back
    warnings.warn(text, stacklevel=level)


@dataclass(frozen=True, slots=True)
class Again:
    """What became of a wish to have records done again."""

    #: Records that run again.
    records: int
    #: Failed ones that cannot.
    unread: int = 0


class Client:
    """Client of a running RegionCap; safe to use from several threads.

    Args:
        settings: How to reach the services; by default as the command finds it.
        folder: Where to look for a stack and its settings; by default the working folder.
        patient: Whether a service that is away is tried again for a while; people at a terminal
            are rather told within seconds.
        tell: Is given notes for people; by default they are warnings.
        flags: Settings by name, stronger than the environment.
    """

    def __init__(
        self,
        settings: Settings | None = None,
        *,
        folder: Path | str | None = None,
        patient: bool = True,
        tell: Callable[[str], None] = _warn,
        **flags: Any,
    ) -> None:
        self.settings = settings or load_settings(folder, **flags)
        self._patient = patient
        self._tell = tell

    @cached_property
    def store(self) -> Store:
        """The object store."""
        store = Store(self.settings)
        if not self._patient:
            store.reach()
        return store

    @cached_property
    def redis(self) -> redis.Redis:
        """The Redis that carries the queue; it may be away."""
        return connect(self.settings, patient=self._patient)

    @cached_property
    def sender(self) -> Sender:
        """Asks for stages of shards."""
        return Sender(self.redis, self.settings)

    def progress(self, job_id: str) -> Progress:
        """The progress of a job, as Redis has it."""
        return Progress(self.redis, job_id)

    def submit(
        self,
        records: Records,
        *,
        image_root: Path | None = None,
        name: str = "",
        labels: Mapping[str, str] | None = None,
        force: bool = False,
        key: str = "",
        schema: str = "",
        **job_settings: Any,
    ) -> JobId:
        """Uploads the pictures and queues the work.

        What a user may not expect is said in warnings: boxes or pictures that are left out, records
        that have problems.

        Args:
            records: A file or folder, as the command takes them, or records: dicts, a DataFrame.
            image_root: Folder that pictures are looked for in, besides the file's own folder and
                the working folder.
            name: A name for the job; by default that of the file.
            labels: Labels of the job.
            force: Submits the input even if most of its records have one and the same problem.
            key: Whoever submits the same under the same key again gets the same job; what was
                broken off goes on.
            schema: Which fields are asked for beside captions: a built-in schema's name, or the
                file of one; the setting `region_schema`.
            job_settings: Settings of the job by name, such as `max_boxes` or `prompt`.

        Returns:
            The job's id, a str; in a notebook it shows how far the job is.

        Raises:
            UsageError: A setting or the input cannot be used, or the key is that of another job.
            ServiceError: A service cannot be reached. A QueueError names the job, which is stored.
        """
        from regioncap.jobs.submission import Submission
        from regioncap.outputs.notebook import JobId

        if schema:
            job_settings["region_schema"] = schema
        options: dict[str, Any] = {"force": force, "key": key, "settings": job_settings}
        sent = self.upload(Submission(records, image_root, name, labels or {}, **options))
        for line in sent.report.notes:
            self._tell(line)
        await_loaded(self.redis)
        if sent.tally.job_was_there:
            self.reconcile(sent.job)
        else:
            self.queue(sent.job)
        return JobId.of(sent.job.job, lambda: self._html(sent.job))

    def queue(self, job: Job) -> None:
        """Queues a job that `upload` has stored: the second half of `submit`."""
        with advice.queueing(job):
            self.sender.render(job, range(job.shards))

    def reconcile(self, job: Job) -> Reconciled:
        """Queues what is missing of a job; says what it found."""
        from regioncap.jobs.reconcile import reconcile

        with advice.queueing(job):
            return reconcile(self.store, self.progress(job.job), self.sender, job)

    def resume(self, job: Job, max_gpu_seconds: float) -> Reconciled:
        """Has a job go on that paused as its limit of GPU time was reached.

        Args:
            job: The job.
            max_gpu_seconds: Its limit from now on, counted from its beginning.

        Raises:
            UsageError: The job has no limit, or has taken that much already.
            ServiceError: A service cannot be reached.
        """
        from regioncap.jobs import budgets

        budgets.resume(self.store, self.redis, job, max_gpu_seconds)
        return self.reconcile(job)

    def upload(
        self,
        submission: Submission,
        *,
        on_ready: Callable[[], None] = lambda: None,
        on_progress: Callable[[Tally, float | None], None] = lambda *_: None,
    ) -> Submitted:
        """Stores a job with its pictures and queues nothing: the first half of `submit`.

        Args:
            submission: What is submitted.
            on_ready: Called when the input is open and the store is there.
            on_progress: Called after each record, with what was done so far and how much of the
                input has been read (0 to 1, None where that cannot be told).

        Raises:
            UsageError: A setting or the input cannot be used.
            ServiceError: The store cannot be reached.
        """
        from regioncap.jobs.submission import upload

        return upload(
            self.store, self.settings, submission, on_ready=on_ready, on_progress=on_progress
        )

    def find(self, job: str | None = None, *, to_change: bool = False) -> lookup.Found:
        """The job that is meant by an id, the beginning of one, or a name; None is the latest.

        Args:
            job: What the user says.
            to_change: Whether it is to be changed: of several with one name none is then taken.

        Raises:
            NotFoundError: There is none.
            UsageError: Several may be meant.
        """
        return lookup.find(self.store, job, to_change=to_change)

    def load(self, job: AnyJob = None, *, to_change: bool = False) -> Job:
        """As `find`; it is noted if other jobs have the same name."""
        if isinstance(job, Job):
            return job
        found = self.find(job, to_change=to_change)
        if found.has_namesakes:
            self._tell(found.said)
        return found.job

    def jobs(self, limit: int = 10) -> Jobs:
        """How far the newest jobs are, newest first."""
        from regioncap.outputs.notebook import Jobs

        found = catalogue.recent(self.store, limit, lambda error: self._tell(f"left out: {error}"))
        return Jobs(map(self.status_of, found))

    def status(self, job: AnyJob = None) -> JobStatus:
        """How far a job is; raises NotFoundError if there is none."""
        return self.status_of(self.load(job))

    def status_of(self, job: Job) -> JobStatus:
        """How far a job is that was loaded before."""
        return job_status(self.store, self.redis, job)

    def advice(self, job: AnyJob = None) -> list[str]:
        """What can be done next about a job, a line each."""
        loaded = self.load(job)
        return advice.advice(self.status_of(loaded), loaded)

    def wait(
        self,
        job: AnyJob = None,
        *,
        timeout_s: float | None = None,
        poll_s: float = 0.5,
        on_progress: Callable[[JobStatus], None] | None = None,
        progress: bool | None = None,
    ) -> JobStatus:
        """Waits until a job has ended, or pauses as its limit of GPU time is reached.

        Args:
            job: The job.
            timeout_s: How long to wait; None for as long as it takes.
            poll_s: Longest time between looks; at first it is shorter.
            on_progress: Called at each look.
            progress: Whether a bar is shown; by default in a notebook and on a terminal, unless
                `on_progress` is given.

        Raises:
            TimeoutError: It still runs; it goes on doing so.
        """
        from regioncap.outputs.waiting import bar

        loaded = self.load(job)
        with bar(False if progress is None and on_progress else progress) as show:
            for status in self.follow(loaded, timeout_s=timeout_s, poll_s=poll_s):
                show(status)
                if on_progress is not None:
                    on_progress(status)
                if status.rests:
                    return status
        raise TimeoutError(f"job {loaded.job} still runs after {timeout_s:g} s")

    def follow(
        self, job: Job, *, timeout_s: float | None = None, poll_s: float = 0.5
    ) -> Iterator[JobStatus]:
        """Looks at a job again and again, until it rests or the time is over; once at least."""
        began = time.monotonic()
        while True:
            status = self.status_of(job)
            yield status
            waited_s = time.monotonic() - began
            if status.rests or (timeout_s is not None and waited_s >= timeout_s):
                return
            time.sleep(pause_s(waited_s, poll_s))

    def results(self, job: AnyJob = None) -> Results:
        """The results so far, in input order, as a stream; those not there yet are left out."""
        from regioncap.outputs.notebook import Results

        loaded = self.load(job)
        return Results(
            lambda: results.read(self.store, loaded),
            self._small,
            lambda: self.status_of(loaded),
        )

    def view(
        self,
        job: AnyJob = None,
        page: Path | str | None = None,
        *,
        embed: bool = False,
        replace: bool = False,
        on_record: Callable[[], None] = lambda: None,
    ) -> Viewed:
        """Writes a page with pictures, boxes and captions of the results so far.

        Args:
            job: The job.
            page: The file; by default `gallery-JOB.html` in the working folder.
            embed: Whether the page holds its pictures in itself.
            replace: Whether the page of another job may be replaced.
            on_record: Called for each record.

        Raises:
            UsageError: The page of another job is there (`output-exists`), or it cannot be
                written (`bad-output`).
        """
        from regioncap.outputs.gallery import Viewed, page_name, write_view
        from regioncap.views.view import Limits

        loaded = self.load(job)
        path = Path(page or page_name(loaded))
        count = write_view(
            self.store, loaded, path, self._originals, limits=Limits.of(self.settings),
            embed=embed, replace=replace, on_record=on_record,
        )  # fmt: skip
        return Viewed(path, count, loaded.records)

    def export(
        self,
        job: AnyJob,
        output: Path | str,
        *,
        format: str | None = None,
        bom: bool = False,
        verified: bool = False,
        on_record: Callable[[], None] = lambda: None,
    ) -> Exported:
        """Writes the results so far in a form that other tools read.

        Args:
            job: The job; None for the latest.
            output: File or folder to write.
            format: As of the command; by default what the ending of the file means.
            bom: Whether CSV begins with a byte order mark.
            verified: Whether captions are left out that verification did not find true.
            on_record: Called for each record.

        Raises:
            UsageError: There is no such format, or the output cannot be written.
        """
        from regioncap.outputs.exports.job import export_job

        return export_job(
            self.store, self.load(job), Path(output), self._originals,
            max_pixels=self.settings.max_image_pixels, format_name=format, bom=bom,
            verified=verified, on_record=on_record,
        )  # fmt: skip

    def audit(
        self, job: AnyJob = None, on_finding: Callable[[FlaggedRegion], None] = lambda _: None
    ) -> JobAudit:
        """Looks for captions that are cut off, repeated, refused or about the mark.

        What it says of a finished job is kept for status and gallery.

        Args:
            job: The job.
            on_finding: Called for each finding.
        """
        from regioncap.outputs.audit import audit_job

        return audit_job(self.store, self.load(job), on_finding, self._tell)

    def retry(
        self, job: AnyJob, *, flagged: bool = False, edited: bool = False, as_given: bool = False
    ) -> Again:
        """Runs the failed records of a finished job again; what cannot help is noted.

        Args:
            job: The job; None, the latest, is not taken here.
            flagged: Whether those run again too whose captions an audit flags.
            edited: Whether what a person wrote may be replaced.
            as_given: Whether those run too that failed for what they hold, as after a picture in a
                bucket of one's own was mended.

        Raises:
            UsageError: The job is not finished, or was cancelled.
        """
        from regioncap.jobs import retry
        from regioncap.outputs.audit import flagged_indices

        loaded = self._to_change(job)
        chosen = flagged_indices(self.store, loaded) if flagged else set[int]()
        seen = retry.Outlook()
        again = retry.begin(
            self.store, self.progress(loaded.job), loaded, chosen,
            edited=edited, as_given=as_given, outlook=seen,
        )  # fmt: skip
        self.sender.render(loaded, sorted(again))
        for line in advice.of_retry(seen.unread, {} if as_given else seen.same, loaded):
            self._tell(line)
        records = sum(len(shard.indices | shard.flagged) for shard in again.values())
        return Again(records, seen.unread)

    def verify(self, job: AnyJob, *, retry: bool = False) -> Again:
        """Has the captions of a finished job asked back, and those found wrong made again if told.

        Raises:
            UsageError: The job is not finished, or was cancelled.
        """
        from regioncap.jobs import retry as retries

        loaded = self._to_change(job)
        how: Verify = "retry" if retry else "mark"
        wishes = retries.begin(self.store, self.progress(loaded.job), loaded, verify=how)
        self.sender.render(loaded, sorted(wishes))
        return Again(sum(len(shard.verify) for shard in wishes.values()))

    def cancel(self, job: AnyJob) -> Outcome:
        """Stops a job, or the retry of a finished one; what is done stays."""
        from regioncap.jobs.cancel import cancel

        loaded = self._to_change(job)
        return cancel(self.store, self.progress(loaded.job), loaded)

    def import_edits(self, job: AnyJob, file: Path | str, *, by: str | None = None) -> Changes:
        """Brings corrected captions back as a new version of the results; the old one is kept.

        Args:
            job: The job.
            file: Label Studio's JSON export, or edited results as JSON Lines.
            by: Who edited, where the file does not say.

        Raises:
            UsageError: The file holds no edits of the job, or the job is not finished.
        """
        from regioncap.outputs import versions
        from regioncap.outputs.edits import read_edits

        loaded = self._to_change(job)
        edits = read_edits(Path(file), loaded.job, by=by)
        return versions.apply_edits(self.store, self.progress(loaded.job), loaded, edits)

    def _to_change(self, job: AnyJob) -> Job:
        if not job:
            raise UsageError(
                "name the job that is to be changed: an id, the beginning of one, or a name",
                code="no-job-named",
                hint="`regioncap jobs`, or Client.jobs(), lists the recent ones",
            )
        return self.load(job, to_change=True)

    @cached_property
    def _originals(self) -> Callable[[str], bytes]:
        from regioncap.inputs.originals import Originals

        return Originals(self.store, self.settings).fetch

    def _small(self, uri: str) -> bytes | None:
        """A picture as small as a notebook shows it."""
        from regioncap.outputs.gallery import shown_jpeg

        return shown_jpeg(self.store.get_uri(uri), _SMALL_SIDE)

    def _html(self, job: Job) -> str:
        from regioncap.outputs.notebook import job_html

        found = results.read(self.store, job)
        return job_html(self.status_of(job), found, self._small)
