"""The last record that failed, for those who watch a job."""

from __future__ import annotations

from typing import Any

from regioncap import keys
from regioncap.errors import QueueError
from regioncap.job import Job
from regioncap.jobs.results import parse_part
from regioncap.services.progress import Progress
from regioncap.services.store import Store


class LastFailure:
    """Finds a failed record of the newest part that has one.

    Args:
        store: Where the results lie.
        progress: The job's progress: it knows which parts hold failures.
        job: The job.
    """

    def __init__(self, store: Store, progress: Progress, job: Job) -> None:
        self._store = store
        self._progress = progress
        self._job = job
        self._seen: set[int] = set()
        self._failed = 0
        self._record: dict[str, Any] | None = None

    def look(self, failed: int) -> dict[str, Any] | None:
        """The record, in its output form; looks anew only if more have failed than before."""
        if failed > self._failed:
            self._failed = failed
            self._record = self._newest() or self._record
        return self._record

    def _newest(self) -> dict[str, Any] | None:
        try:
            fresh = self._progress.failed() - self._seen
        except QueueError:
            return None
        if not fresh:
            return None
        self._seen |= fresh
        part = self._store.find(keys.part_key(self._job.job, "results", max(fresh)))
        failed = [record for record in parse_part(part or b"") if record["error"]]
        return failed[-1] if failed else None
