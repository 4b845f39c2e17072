"""Budgets: a job that has a limit of GPU time pauses when it is reached, until the limit is raised.

`jobs/<job>/budget.json` says that the job is paused, or what its limit is now; without it the limit
is that of job.json, which never changes. A worker looks before it begins a shard: what is in hand
ends, and nothing more begins. The shards of a paused job are in no queue; resuming finds what is
missing and queues it.
"""

from __future__ import annotations

import math
import threading
from collections import Counter
from collections.abc import Mapping
from datetime import datetime

import redis
from pydantic import BaseModel, Field, ValidationError

from regioncap import keys
from regioncap.errors import QueueError, RegionCapError, StoreError, UsageError
from regioncap.job import Job
from regioncap.jobs import markers, results
from regioncap.parallel import REAL, Runtime
from regioncap.records import SCHEMA_VERSION, FormatVersion, dump_json
from regioncap.services import due
from regioncap.services.spending import Spending
from regioncap.services.store import Store

#: Looks at a budget that others change meanwhile.
_LOOKS = 20


class Budget(BaseModel):
    """How much GPU time a job may take, and whether it waits for more."""

    schema_version: FormatVersion = SCHEMA_VERSION
    max_gpu_seconds: float = Field(gt=0, allow_inf_nan=False)
    #: When the job paused; None if it goes on.
    paused: datetime | None = None
    #: What it had taken then; in a status, what it has taken so far.
    gpu_seconds: float = 0.0


def find(store: Store, job: Job) -> Budget | None:
    """The budget of a job as it is now; None if it has none."""
    if job.settings.max_gpu_seconds is None:
        return None
    return _read(job.settings.max_gpu_seconds, store.find(keys.budget_key(job.job)), job)


def _read(limit_s: float, text: bytes | None, job: Job) -> Budget:
    if text is None:
        return Budget(max_gpu_seconds=limit_s)
    try:
        return Budget.model_validate_json(text)
    except ValidationError as error:
        raise RegionCapError(
            f"budget.json of {job.job} cannot be read",
            code="bad-job",
            hint="remove it: the limit is then that of the submission",
        ) from error


def is_paused(store: Store, job: Job) -> bool:
    """Whether a job waits for more GPU time."""
    budget = find(store, job)
    return budget is not None and budget.paused is not None


class Purse:
    """Holds the jobs that a worker has in hand to their budgets; for many threads.

    Args:
        store: Where the jobs lie.
        runtime: The clock.
    """

    def __init__(self, store: Store, runtime: Runtime = REAL) -> None:
        self._store = store
        self._runtime = runtime
        #: What could not be noted yet, milliseconds by job.
        self._owed = Counter[str]()
        self._lock = threading.Lock()

    def is_spent(self, client: redis.Redis, job: Job) -> bool:
        """Whether nothing more of a job may begin; it is paused then.

        Raises:
            ServiceError: The store or Redis is away.
        """
        limit_s, key = job.settings.max_gpu_seconds, keys.budget_key(job.job)
        if limit_s is None:
            return False
        for _ in range(_LOOKS):
            found = self._store.find_tagged(key)
            budget = _read(limit_s, None if found is None else found.data, job)
            if budget.paused is not None:
                return True
            spent_s = self._spent_ms(client, job) / 1000
            if spent_s < budget.max_gpu_seconds:
                return False
            change = {"paused": self._runtime.now(), "gpu_seconds": spent_s}
            text = dump_json(budget.model_copy(update=change))
            markers.note_end(self._store, job.job, f"paused-{round(1000 * budget.max_gpu_seconds)}")
            if found is None:
                written = self._store.put_new(key, text, "application/json", lasting=False)
            else:
                written = self._store.put_matching(key, text, found.etag, "application/json")
            if written is not None:
                due.drop(client, job.job)
                return True
        raise StoreError(f"the budget of job {job.job} is being changed by others")

    def spend(self, client: redis.Redis, job: Job, spent_ms: int) -> None:
        """Notes what a job has taken; where Redis is away, before the next shard begins."""
        if job.settings.max_gpu_seconds is None:
            return
        with self._lock:
            self._owed[job.job] += spent_ms
        try:
            self._pay(client, job)
        except QueueError:
            return

    def _pay(self, client: redis.Redis, job: Job) -> None:
        with self._lock:
            owed_ms = self._owed.pop(job.job, 0)
        try:
            if owed_ms:
                Spending(client, job.job).add(owed_ms)
        except QueueError:
            with self._lock:
                self._owed[job.job] += owed_ms
            raise

    def _spent_ms(self, client: redis.Redis, job: Job) -> int:
        self._pay(client, job)
        known = Spending(client, job.job).read_ms()
        if known is not None:
            return known
        return Spending(client, job.job).begin(_stored_ms(self._store, job, self._runtime))


def _stored_ms(store: Store, job: Job, runtime: Runtime) -> int:
    """What a job's results took."""
    parts = results.read_parts(store, job, runtime=runtime)
    return sum(part.summary["counts"]["gpu_ms"] for part in parts)


def known_ms(client: redis.Redis, job: Job, counts: Mapping[str, int]) -> int:
    """The GPU time that a job has taken, milliseconds, as far as Redis knows.

    Args:
        client: The Redis that carries the queue.
        job: The job.
        counts: Sums over its results so far.
    """
    known = Spending(client, job.job).read_ms()
    return counts.get("gpu_ms", 0) if known is None else known


def resume(
    store: Store,
    client: redis.Redis,
    job: Job,
    max_gpu_seconds: float,
    *,
    runtime: Runtime = REAL,
) -> Budget:
    """Gives a job another limit, and has it go on; queues nothing. Doing it twice does no harm.

    Raises:
        UsageError: The job has no budget, or that is none, or no more than it has taken already
            (`bad-budget`).
        ServiceError: The store or Redis is away.
    """
    if job.settings.max_gpu_seconds is None:
        raise UsageError(
            f"job {job.job} has no budget of GPU time",
            code="bad-budget",
            hint="what is missing of it is queued by: regioncap submit --resume " + job.job,
        )
    if not math.isfinite(max_gpu_seconds):
        raise UsageError(
            f"{max_gpu_seconds:g} is no limit of GPU time",
            code="bad-budget",
            hint="give --max-gpu-seconds a number; 1e9 is more than any job takes",
        )
    known = Spending(client, job.job).read_ms()
    spent_s = (_stored_ms(store, job, runtime) if known is None else known) / 1000
    if max_gpu_seconds <= spent_s:
        raise UsageError(
            f"job {job.job} has taken {spent_s:,.1f} GPU seconds already, and"
            f" {max_gpu_seconds:,g} is no more than that",
            code="bad-budget",
            hint="give a larger --max-gpu-seconds; it counts from the job's beginning",
        )
    budget = Budget(max_gpu_seconds=max_gpu_seconds)
    store.put(keys.budget_key(job.job), dump_json(budget), "application/json")
    return budget
