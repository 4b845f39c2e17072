"""`Client` and `AsyncClient`: submit jobs to running services, wait for them, read their results.

client = Client()                     # settings as the command finds them
job = client.submit("my.jsonl")
client.wait(job)
for record in client.results(job): ...

The command uses the same client. Celery, Pillow and the readers of inputs are imported only where
they are needed, so that reading a job's status is quick.
"""

from __future__ import annotations

import asyncio
import sys
import time
import warnings
from collections.abc import AsyncIterator, Callable, Iterable, Iterator, Mapping
from contextlib import AbstractContextManager, nullcontext
from dataclasses import dataclass, field
from functools import cached_property
from pathlib import Path
from typing import TYPE_CHECKING, Any

import redis

from regioncap.job import Job
from regioncap.jobs import catalogue, results
from regioncap.jobs.status import JobStatus, job_status, pause_s
from regioncap.records import InputRecord
from regioncap.services.broker import await_loaded, connect
from regioncap.services.progress import Progress
from regioncap.services.store import Store
from regioncap.settings import Settings, load_settings

if TYPE_CHECKING:
    from regioncap.inputs.report import Report
    from regioncap.inputs.source import Source
    from regioncap.jobs.reconcile import Reconciled
    from regioncap.jobs.submit import Tally
    from regioncap.services.queue import Sender

#: Records to submit: a file or folder, or fields as on an input line, or records made by hand.
Records = str | Path | Iterable[Mapping[str, Any] | InputRecord]


@dataclass(frozen=True, slots=True)
class Submission:
    """What is asked of one submission; see `Client.submit`."""

    records: Records
    image_root: Path | None = None
    name: str = ""
    labels: Mapping[str, str] = field(default_factory=dict)
    force: bool = False
    #: The user's key, under which there is to be one job; empty for none.
    key: str = ""
    #: Settings of the job by name.
    settings: Mapping[str, Any] = field(default_factory=dict)


@dataclass(frozen=True, slots=True)
class Submitted:
    """A job that is stored, and not yet queued."""

    job: Job
    #: What was done for it.
    tally: Tally
    #: What was found of its input.
    report: Report


class Client:
    """Client of a running RegionCap; safe to use from several threads.

    Args:
        settings: How to reach the services; by default as the command finds it.
        folder: Where to look for a stack and its settings; by default the working folder.
        patient: Whether a service that is away is tried again for a while; people at a terminal
            are rather told within seconds.
        flags: Settings by name, stronger than the environment.
    """

    def __init__(
        self,
        settings: Settings | None = None,
        *,
        folder: Path | str | None = None,
        patient: bool = True,
        **flags: Any,
    ) -> None:
        self.settings = settings or load_settings(folder, **flags)
        self._patient = patient

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
        """Puts shards into the queue."""
        from regioncap.services.queue import Sender, make_app

        return Sender(make_app(self.settings))

    def progress(self, job_id: str) -> Progress:
        """The progress of a job, as Redis has it."""
        return Progress(self.redis, job_id)

    def submit(
        self,
        records: Records,
        *,
        image_root: Path | None = None,
        name: str = "",
        labels: dict[str, str] | None = None,
        force: bool = False,
        key: str = "",
        **job_settings: Any,
    ) -> str:
        """Uploads the pictures and queues the work.

        What a user may not expect is said in warnings: boxes or pictures that are left out, records
        that have problems.

        Args:
            records: A file or folder, as the command takes them, or records.
            image_root: Folder that pictures are looked for in, besides the file's own folder and
                the working folder.
            name: A name for the job.
            labels: Labels of the job.
            force: Submits the input even if most of its records have one and the same problem.
            key: Whoever submits the same under the same key again gets the same job; what was
                broken off goes on.
            job_settings: Settings of the job by name, such as `max_boxes` or `prompt`.

        Returns:
            The job's id.

        Raises:
            UsageError: A setting or the input cannot be used, or the key is that of another job.
            ServiceError: A service cannot be reached.
        """
        options: dict[str, Any] = {"force": force, "key": key, "settings": job_settings}
        sent = self.upload(Submission(records, image_root, name, labels or {}, **options))
        for line in sent.report.notes:
            warnings.warn(line, stacklevel=2)
        await_loaded(self.redis)
        if sent.tally.job_was_there:
            self.reconcile(sent.job)
        else:
            self.sender.render(sent.job, range(sent.job.shards))
        return sent.job.job

    def reconcile(self, job: Job) -> Reconciled:
        """Queues what is missing of a job; says what it found."""
        from regioncap.jobs.reconcile import reconcile

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
        from regioncap.inputs.judgement import judged
        from regioncap.inputs.report import Report
        from regioncap.jobs import grids
        from regioncap.jobs.submit import submit, words_of
        from regioncap.views import marks

        words = words_of(self.settings.for_job(submission.settings))
        settings = words.settings
        marks.get(settings.mark_style)
        with _opened(submission.records, submission.image_root, settings) as source:
            taken = source.records if submission.force else judged(source, settings)
            self.store.ensure_bucket()
            on_ready()
            choice = grids.choose(self.store, settings)
            job, tally = submit(
                taken,
                store=self.store,
                settings=settings,
                root=source.root,
                image_root=source.image_root,
                source=source.name,
                name=submission.name,
                labels=dict(submission.labels),
                prompt_template=words.template,
                region_schema=words.schema,
                grid=choice.grid,
                key=submission.key,
                on_progress=lambda tally: on_progress(tally, source.fraction()),
            )
        report = Report.of(tally.totals, source.reading, settings).also(
            choice.lines(), is_unexpected=choice.grid.resizes
        )
        return Submitted(job, tally, report)

    def load(self, job_id: str) -> Job:
        """The job of an id; raises NotFoundError if there is none."""
        return catalogue.load(self.store, job_id)

    def status(self, job_id: str) -> JobStatus:
        """How far a job is; raises NotFoundError if there is none."""
        return self.status_of(self.load(job_id))

    def status_of(self, job: Job) -> JobStatus:
        """How far a job is that was loaded before."""
        return job_status(self.store, self.redis, job)

    def wait(
        self,
        job_id: str,
        *,
        timeout_s: float | None = None,
        poll_s: float = 0.5,
        on_progress: Callable[[JobStatus], None] = lambda _: None,
    ) -> JobStatus:
        """Waits until a job has ended, or pauses as its limit of GPU time is reached.

        Args:
            job_id: The job.
            timeout_s: How long to wait; None for as long as it takes.
            poll_s: Longest time between looks; at first it is shorter.
            on_progress: Called at each look.

        Raises:
            TimeoutError: It still runs; it goes on doing so.
        """
        for status in self.follow(self.load(job_id), timeout_s=timeout_s, poll_s=poll_s):
            on_progress(status)
            if status.rests:
                return status
        raise TimeoutError(f"job {job_id} still runs after {timeout_s:g} s")

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

    def results(self, job_id: str) -> Iterator[dict[str, Any]]:
        """The results so far, in input order, as a stream; those not there yet are left out."""
        yield from results.read(self.store, self.load(job_id))


class AsyncClient:
    """The same for programs with an event loop, which is never held up.

    Args:
        settings: How to reach the services; by default as the command finds it.
        folder: Where to look for a stack and its settings; by default the working folder.
        flags: Settings by name, stronger than the environment.
    """

    def __init__(
        self, settings: Settings | None = None, *, folder: Path | str | None = None, **flags: Any
    ) -> None:
        self._client = Client(settings, folder=folder, **flags)

    async def submit(self, records: Records, **options: Any) -> str:
        """As `Client.submit`."""
        return await asyncio.to_thread(self._client.submit, records, **options)

    async def status(self, job_id: str) -> JobStatus:
        """As `Client.status`."""
        return await asyncio.to_thread(self._client.status, job_id)

    async def wait(
        self,
        job_id: str,
        *,
        timeout_s: float | None = None,
        poll_s: float = 0.5,
        on_progress: Callable[[JobStatus], None] = lambda _: None,
    ) -> JobStatus:
        """As `Client.wait`; cancelling it leaves the job running."""
        began = time.monotonic()
        async with asyncio.timeout(timeout_s):
            while True:
                status = await self.status(job_id)
                on_progress(status)
                if status.rests:
                    return status
                await asyncio.sleep(pause_s(time.monotonic() - began, poll_s))

    async def results(self, job_id: str) -> AsyncIterator[dict[str, Any]]:
        """As `Client.results`."""
        records = self._client.results(job_id)
        while (record := await asyncio.to_thread(next, records, None)) is not None:
            yield record


def _opened(
    records: Records, root: Path | None, settings: Settings
) -> AbstractContextManager[Source]:
    from regioncap.inputs.boxes import settle
    from regioncap.inputs.objects import read_objects
    from regioncap.inputs.reading import Reading
    from regioncap.inputs.source import Source, open_source

    if isinstance(records, str | Path):
        return open_source(str(records), sys.stdin.buffer, root, settings)
    reading = Reading("records")
    settled = (settle(record, settings) for record in read_objects(records, reading))
    return nullcontext(Source("records", Path(), settled, lambda: None, reading, root))
