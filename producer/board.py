"""What `watch` shows of a job, drawn anew at each look, with the last record that failed."""

from __future__ import annotations

from typing import Any

from rich.console import Group, RenderableType
from rich.progress_bar import ProgressBar
from rich.table import Table
from rich.text import Text

from producer import words
from regioncap import keys
from regioncap.errors import QueueError
from regioncap.job import Job
from regioncap.jobs.rate import Rate
from regioncap.jobs.results import checked
from regioncap.jobs.status import JobStatus
from regioncap.services.progress import Progress
from regioncap.services.store import Store


class Board:
    """Counts, speeds, the time left and the last error.

    Args:
        job: The job that is shown.
    """

    def __init__(self, job: Job) -> None:
        self._job = job
        self._rates = {what: Rate() for what in ("images", "regions", "tokens")}
        self._status: JobStatus | None = None
        self._failure: dict[str, Any] | None = None

    def see(self, now_s: float, status: JobStatus, failure: dict[str, Any] | None) -> None:
        """Updates the board with a state of the job and its last failed record."""
        self._status, self._failure = status, failure
        self._rates["images"].see(now_s, status.done)
        self._rates["regions"].see(now_s, status.regions_ok)
        self._rates["tokens"].see(now_s, status.prompt_tokens + status.completion_tokens)

    def speeds(self) -> list[str]:
        """Speeds as they are known so far."""
        rates = self._rates.items()
        return [words.speed(rate.per_s, what) for what, rate in rates if rate.per_s]

    def left(self) -> str:
        """The time left in words; empty until enough is known."""
        left_s = self._rates["images"].eta_s(self._job.records)
        return f"about {words.span(left_s)} left" if left_s else ""

    def view(self) -> RenderableType:
        """The whole board."""
        status = self._status
        if status is None:
            return Text("")
        lines = Table.grid(padding=(0, 2))
        lines.add_column(style="dim", no_wrap=True)
        lines.add_column(ratio=1)
        lines.add_row("records", self._records(status))
        lines.add_row("regions", f"{status.regions_ok:,} of {status.regions:,} captioned")
        lines.add_row("speed", " · ".join(self.speeds()) or "-")
        for wait in words.waits(status.waits):
            lines.add_row("waits", Text(wait.partition(": ")[2], style="yellow"))
        if self._failure is not None:
            error = self._failure["error"]
            what = f"line {self._failure['line']}: {error['code']} {error['message']}"
            lines.add_row("last error", Text(what, style="red"))
        return Group(self._head(status), self._bar(status), lines)

    def _head(self, status: JobStatus) -> Text:
        return Text.assemble((status.job, "bold"), "  ", (status.state, "cyan"), "  ", status.name)

    def _bar(self, status: JobStatus) -> RenderableType:
        row = Table.grid(padding=(0, 2))
        percent = f"{status.done / max(1, status.records):4.0%}"
        row.add_row(ProgressBar(status.records, status.done, width=40), percent, self.left())
        return row

    def _records(self, status: JobStatus) -> Text:
        size = self._job.settings.shard_size
        begun = min(status.records, (status.shards_rendered or 0) * size)
        drawn = max(0, begun - status.done)
        parts = [
            (f"{status.done:,} done", "green"),
            (f"{status.failed:,} failed", "red" if status.failed else ""),
            (f"{drawn:,} running", ""),
            (f"{max(0, status.records - status.done - drawn):,} queued", ""),
        ]
        return Text(" · ").join(Text(text, style=style) for text, style in parts)


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
        shard = max(fresh)
        part = self._store.find(keys.part_key(self._job.job, "results", shard))
        lines = checked(part, self._store, self._job, shard).lines if part else []
        failed = [record for record in lines if record["error"]]
        return failed[-1] if failed else None
