"""Clients for programs: submit, wait, results and status against running services.

client = Client()                     # settings as the command finds them
job = client.submit("my.jsonl")
client.wait(job)
for record in client.results(job): ...
"""

from __future__ import annotations

import asyncio
import sys
import time
from collections.abc import AsyncIterator, Callable, Iterable, Iterator, Mapping
from contextlib import contextmanager
from functools import cached_property
from pathlib import Path
from typing import Any

import redis

from regioncap.inputs.source import open_source
from regioncap.job import Job
from regioncap.jobs import catalogue
from regioncap.jobs.results import parse_part, read_parts
from regioncap.jobs.status import JobStatus, job_status, pause_s
from regioncap.jobs.submit import submit, template_text
from regioncap.records import InputRecord, from_fields
from regioncap.services.broker import connect
from regioncap.services.queue import Sender, make_app
from regioncap.services.store import Store
from regioncap.settings import Settings, load_settings
from regioncap.views import marks

#: Records to submit: a file or folder, or fields as on an input line, or records made by hand.
Records = str | Path | Iterable[Mapping[str, Any] | InputRecord]


class Client:
    """Speaks to a running RegionCap; safe to use from several threads.

    Args:
        settings: How to reach the services; by default as the command finds it.
        flags: Settings by name, stronger than the environment.
    """

    def __init__(self, settings: Settings | None = None, **flags: Any) -> None:
        self.settings = settings or load_settings(**flags)

    @cached_property
    def store(self) -> Store:
        """The object store."""
        return Store(self.settings)

    @cached_property
    def redis(self) -> redis.Redis:
        """The Redis that carries the queue."""
        return connect(self.settings)

    @cached_property
    def _sender(self) -> Sender:
        return Sender(make_app(self.settings))

    def submit(
        self,
        records: Records,
        *,
        image_root: Path | None = None,
        name: str = "",
        labels: dict[str, str] | None = None,
        **job_settings: Any,
    ) -> str:
        """Uploads the pictures and queues the work.

        Args:
            records: A file or folder, as the command takes them, or records.
            image_root: Folder that image paths are relative to; by default the file's own folder,
                for records the working folder.
            name: A name for the job.
            labels: Labels of the job.
            job_settings: Settings of the job by name, such as `max_boxes` or `prompt`.

        Returns:
            The job's id.

        Raises:
            UsageError: A setting or the input cannot be used.
            ServiceError: A service cannot be reached.
        """
        settings = self.settings.for_job(job_settings)
        marks.get(settings.mark_style)
        template = template_text(settings.prompt)
        self.store.ensure_bucket()
        with _opened(records, image_root) as (stream, root, source):
            job, _ = submit(
                stream,
                store=self.store,
                settings=settings,
                root=root,
                source=source,
                name=name,
                labels=labels,
                prompt_template=template,
            )
        self._sender.render(job, range(job.shards))
        return job.job

    def status(self, job_id: str) -> JobStatus:
        """How far a job is; raises NotFoundError if there is none."""
        return job_status(self.store, self.redis, self._load(job_id))

    def wait(
        self,
        job_id: str,
        *,
        timeout_s: float | None = None,
        poll_s: float = 0.5,
        on_progress: Callable[[JobStatus], None] = lambda _: None,
    ) -> JobStatus:
        """Waits until a job has ended.

        Args:
            job_id: The job.
            timeout_s: How long to wait; None for as long as it takes.
            poll_s: Longest time between looks; at first it is shorter.
            on_progress: Called at each look.

        Raises:
            TimeoutError: It still runs; it goes on doing so.
        """
        began = time.monotonic()
        while True:
            status = self.status(job_id)
            on_progress(status)
            if status.ended:
                return status
            waited_s = time.monotonic() - began
            if timeout_s is not None and waited_s >= timeout_s:
                raise TimeoutError(f"job {job_id} still runs after {timeout_s:g} s")
            time.sleep(pause_s(waited_s, poll_s))

    def results(self, job_id: str) -> Iterator[dict[str, Any]]:
        """The results so far, in input order, as a stream; those not there yet are left out."""
        job = self._load(job_id)
        for _, part in read_parts(self.store, job):
            yield from parse_part(part)

    def _load(self, job_id: str) -> Job:
        return catalogue.load(self.store, job_id)


class AsyncClient:
    """The same for programs with an event loop, which is never held up.

    Args:
        settings: How to reach the services; by default as the command finds it.
        flags: Settings by name, stronger than the environment.
    """

    def __init__(self, settings: Settings | None = None, **flags: Any) -> None:
        self._client = Client(settings, **flags)

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
                if status.ended:
                    return status
                await asyncio.sleep(pause_s(time.monotonic() - began, poll_s))

    async def results(self, job_id: str) -> AsyncIterator[dict[str, Any]]:
        """As `Client.results`."""
        records = self._client.results(job_id)
        while (record := await asyncio.to_thread(next, records, None)) is not None:
            yield record


@contextmanager
def _opened(
    records: Records, root: Path | None
) -> Iterator[tuple[Iterable[InputRecord], Path, str]]:
    if isinstance(records, str | Path):
        with open_source(str(records), sys.stdin.buffer, root) as source:
            yield source.records, source.root, source.name
    else:
        stream = (_record(index, record) for index, record in enumerate(records))
        yield stream, root or Path(), "records"


def _record(index: int, record: Mapping[str, Any] | InputRecord) -> InputRecord:
    if isinstance(record, InputRecord):
        return record
    return from_fields(InputRecord(index=index, line=index + 1), dict(record))
