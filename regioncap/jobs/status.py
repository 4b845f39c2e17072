"""How far a job is: from `_SUCCESS` if it is finished, else from the progress kept in Redis.

Where Redis is away the store alone tells how many shards are done.
"""

from __future__ import annotations

from datetime import datetime, timedelta
from html import escape
from typing import Literal

import redis
from pydantic import BaseModel, Field

from regioncap import keys
from regioncap.errors import QueueError
from regioncap.job import Job, Sums, now
from regioncap.job import sums as job_sums
from regioncap.jobs import audits, budgets, catalogue
from regioncap.jobs.audits import JobAudit
from regioncap.jobs.budgets import Budget
from regioncap.plurals import counted
from regioncap.records import SCHEMA_VERSION, Stage
from regioncap.services import due
from regioncap.services.broker import queue_errors, server_time
from regioncap.services.progress import Progress
from regioncap.services.store import Store
from regioncap.services.waits import waiting

#: Who watches looks again after this share of the time that has passed, within these limits: a
#: job of seconds is seen to end at once, and one of hours costs two looks a second.
_LOOK_SHARE, _SOONEST_S, _LATEST_S = 0.1, 0.05, 0.5

State = Literal["waiting", "running", "paused", "done", "cancelled"]


class Waiting(BaseModel):
    """Why shards of a job wait."""

    stage: Stage
    #: The cause, as an error's code, and in words.
    code: str
    reason: str
    #: For how long it has lasted, seconds, and in how many it is tried again; None if it is not by
    #: itself.
    waited_s: float
    again_in_s: float | None


class JobStatus(BaseModel):
    """How far a job is."""

    schema_version: int = SCHEMA_VERSION
    job: str
    name: str = ""
    labels: dict[str, str] = Field(default_factory=dict)
    state: State
    created: datetime
    finished: datetime | None = None
    #: For how long it was worked on until it finished; idle time before a retry does not count.
    worked_s: float | None = None
    records: int
    #: Records that have a result, with failed ones.
    done: int = 0
    failed: int = 0
    #: Failed records that workers cannot help: what they hold is to blame.
    failed_as_given: int = 0
    shards: int
    shards_rendered: int | None = None
    shards_done: int = 0
    #: Shards that are in no queue yet: they follow as those before them get done.
    shards_to_follow: int = 0
    regions: int = 0
    regions_ok: int = 0
    prompt_tokens: int = 0
    completion_tokens: int = 0
    sums: Sums | None = None
    #: What the last audit said of the results, if they are still the same.
    audit: JobAudit | None = None
    #: Its limit of GPU time, and whether it waits for more; None if it has none.
    budget: Budget | None = None
    #: What keeps it from going on, the oldest cause first.
    waits: list[Waiting] = Field(default_factory=list)
    #: Where the results are, to read without this program.
    results: str = ""

    @property
    def rests(self) -> bool:
        """Whether nothing more will happen by itself."""
        return self.ended or self.state == "paused"

    @property
    def ended(self) -> bool:
        """Whether nothing more will happen."""
        return self.state in {"done", "cancelled"}

    def parts(self) -> list[str]:
        """How far it is, in some words each."""
        parts = [
            self.job,
            self.state,
            f"{self.done:,} of {counted(self.records, 'record')}",
            f"{self.failed:,} failed",
            f"{self.regions_ok:,} of {counted(self.regions, 'region')} captioned",
        ]
        sums = self.sums
        if sums and sums.reused:
            parts.append(f"{sums.reused:,} reused")
        if sums and sums.price_per_1000_regions is not None:
            parts.append(f"{sums.price_per_1000_regions:.3g} per 1,000 regions")
        return [*parts, self.name] if self.name else parts

    def _repr_html_(self) -> str:
        head, *rest = map(escape, self.parts())
        return f"<b>{head}</b> · {' · '.join(rest)}"


def pause_s(watched_s: float, latest_s: float = _LATEST_S) -> float:
    """How long to wait before looking at a job again, watched for so long already."""
    return min(latest_s, max(_SOONEST_S, _LOOK_SHARE * watched_s))


def job_status(store: Store, client: redis.Redis | None, job: Job) -> JobStatus:
    """Reads how far a job is.

    Args:
        store: Where it lies.
        client: Redis, which knows the progress; None to ask the store alone.
        job: The job.

    Raises:
        StoreError: The store cannot be reached.
    """
    status = JobStatus(
        job=job.job,
        name=job.name,
        labels=job.labels,
        state="waiting",
        created=job.created,
        records=job.records,
        shards=job.shards,
        results=store.uri(keys.prefix(job.job, "results")),
    )
    success = catalogue.find_success(store, job.job)
    if success is not None:
        status.state, status.finished = "done", success.finished
        status.worked_s = success.worked_s
        if status.worked_s is None:
            status.worked_s = (success.finished - job.created).total_seconds()
        status.shards_done = status.shards_rendered = job.shards
        _take_counts(status, success.counts)
        status.sums = job_sums(
            job, success.counts, job.created + timedelta(seconds=status.worked_s)
        )
        status.audit = audits.kept(store, job.job, success)
        return status
    status.budget = budgets.find(store, job)
    _take_progress(status, store, client, job)
    if store.exists(keys.cancelled_key(job.job)):
        status.state = "cancelled"
        if not status.shards_done:  # nobody makes its progress anew where Redis has lost it
            _take_progress(status, store, None, job)
    elif (pause := _pause(status.budget, job)) is not None:
        status.state = "paused"
        status.waits.insert(0, pause)
    elif status.shards_done or status.shards_rendered:
        status.state = "running"
    return status


def _take_progress(status: JobStatus, store: Store, client: redis.Redis | None, job: Job) -> None:
    try:
        if client is None:
            raise QueueError("not asked")
        progress = Progress(client, job.job)
        counts = progress.counts()
        status.shards_rendered = progress.rendered()
        status.shards_done = counts.pop("shards")
        _take_counts(status, counts)
        status.sums = job_sums(job, counts, now())
        if status.budget is not None:
            status.budget.gpu_seconds = budgets.known_ms(client, job, counts) / 1000
        status.waits += _waits(client, job)
        status.shards_to_follow = due.count(client, job.job)
    except QueueError:
        status.shards_done = len(catalogue.parts(store, job.job, "results"))
        status.done = min(job.records, status.shards_done * job.settings.shard_size)


def _pause(budget: Budget | None, job: Job) -> Waiting | None:
    if budget is None or budget.paused is None:
        return None
    return Waiting(
        stage="caption",
        code="budget-spent",
        reason=f"its {budget.max_gpu_seconds:,g} GPU seconds are taken ({budget.gpu_seconds:,.1f});"
        f" go on with: regioncap resume {job.job} --max-gpu-seconds N",
        waited_s=round(max(0.0, (now() - budget.paused).total_seconds()), 1),
        again_in_s=None,
    )


def _waits(client: redis.Redis, job: Job) -> list[Waiting]:
    with queue_errors():
        now_s = server_time(client)
    return [
        Waiting(
            stage=wait.stage,
            code=wait.code,
            reason=wait.reason,
            waited_s=round(max(0.0, now_s - wait.since), 1),
            again_in_s=round(max(0.0, wait.until - now_s), 1),
        )
        for wait in waiting(client, job.job, now=now_s)
    ]


def _take_counts(status: JobStatus, counts: dict[str, int]) -> None:
    status.done = counts.get("records", 0)
    status.failed = counts.get("failed", 0)
    status.failed_as_given = counts.get("failed_as_given", 0)
    status.regions = counts.get("regions", 0)
    status.regions_ok = counts.get("regions_ok", 0)
    status.prompt_tokens = counts.get("prompt_tokens", 0)
    status.completion_tokens = counts.get("completion_tokens", 0)
