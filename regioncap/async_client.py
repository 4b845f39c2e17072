"""`AsyncClient`: the same as `Client` for programs with an event loop, which is never held up."""

from __future__ import annotations

import asyncio
import time
from collections.abc import AsyncIterator, Callable
from pathlib import Path
from typing import TYPE_CHECKING, Any

from regioncap.client import Again, AnyJob, Client
from regioncap.jobs.status import JobStatus, pause_s
from regioncap.settings import Settings

if TYPE_CHECKING:
    from regioncap.jobs.audits import JobAudit
    from regioncap.jobs.cancel import Outcome
    from regioncap.jobs.submission import Records
    from regioncap.outputs.exports.job import Exported
    from regioncap.outputs.gallery import Viewed
    from regioncap.outputs.notebook import JobId, Jobs, Result
    from regioncap.outputs.versions import Changes


class AsyncClient:
    """As `Client`, each call in a thread.

    Args:
        settings: How to reach the services; by default as the command finds it.
        folder: Where to look for a stack and its settings; by default the working folder.
        flags: Settings by name, stronger than the environment.
    """

    def __init__(
        self, settings: Settings | None = None, *, folder: Path | str | None = None, **flags: Any
    ) -> None:
        self._client = Client(settings, folder=folder, **flags)

    async def submit(self, records: Records, **options: Any) -> JobId:
        """As `Client.submit`."""
        return await asyncio.to_thread(self._client.submit, records, **options)

    async def jobs(self, limit: int = 10) -> Jobs:
        """As `Client.jobs`."""
        return await asyncio.to_thread(self._client.jobs, limit)

    async def status(self, job: AnyJob = None) -> JobStatus:
        """As `Client.status`."""
        return await asyncio.to_thread(self._client.status, job)

    async def advice(self, job: AnyJob = None) -> list[str]:
        """As `Client.advice`."""
        return await asyncio.to_thread(self._client.advice, job)

    async def wait(
        self,
        job: AnyJob = None,
        *,
        timeout_s: float | None = None,
        poll_s: float = 0.5,
        on_progress: Callable[[JobStatus], None] = lambda _: None,
    ) -> JobStatus:
        """As `Client.wait`, without a bar; cancelling it leaves the job running."""
        began = time.monotonic()
        loaded = await asyncio.to_thread(self._client.load, job)
        while True:
            status = await asyncio.to_thread(self._client.status_of, loaded)
            on_progress(status)
            if status.rests:
                return status
            waited_s = time.monotonic() - began
            if timeout_s is not None and waited_s >= timeout_s:
                raise TimeoutError(f"job {loaded.job} still runs after {timeout_s:g} s")
            await asyncio.sleep(pause_s(waited_s, poll_s))

    async def results(self, job: AnyJob = None) -> AsyncIterator[Result]:
        """As `Client.results`; who stops early need not wait for what is being fetched."""
        records = await asyncio.to_thread(self._client.results, job)
        try:
            while (record := await asyncio.to_thread(next, records, None)) is not None:
                yield record
        finally:
            # Closed here, or by whoever drops the last reference, it would hold up the loop. Nor is
            # it awaited: whoever is cancelled would wait for a store that does not answer.
            asyncio.get_running_loop().run_in_executor(None, records.close)

    async def view(self, job: AnyJob = None, page: Path | str | None = None, **how: Any) -> Viewed:
        """As `Client.view`."""
        return await asyncio.to_thread(self._client.view, job, page, **how)

    async def export(self, job: AnyJob, output: Path | str, **how: Any) -> Exported:
        """As `Client.export`."""
        return await asyncio.to_thread(self._client.export, job, output, **how)

    async def audit(self, job: AnyJob = None) -> JobAudit:
        """As `Client.audit`."""
        return await asyncio.to_thread(self._client.audit, job)

    async def retry(self, job: AnyJob, **which: bool) -> Again:
        """As `Client.retry`."""
        return await asyncio.to_thread(self._client.retry, job, **which)

    async def verify(self, job: AnyJob, *, retry: bool = False) -> Again:
        """As `Client.verify`."""
        return await asyncio.to_thread(self._client.verify, job, retry=retry)

    async def cancel(self, job: AnyJob) -> Outcome:
        """As `Client.cancel`."""
        return await asyncio.to_thread(self._client.cancel, job)

    async def import_edits(
        self, job: AnyJob, file: Path | str, *, by: str | None = None
    ) -> Changes:
        """As `Client.import_edits`."""
        return await asyncio.to_thread(self._client.import_edits, job, file, by=by)
