"""Cancelling: `_CANCELLED` in the store says so, and workers leave the job alone from then on.

A finished job that is being retried is not given up by it: what is not done again yet stays as it
was.
"""

from __future__ import annotations

import json
from contextlib import suppress
from typing import Literal

from regioncap import keys
from regioncap.errors import QueueError, StoreError
from regioncap.job import Job
from regioncap.jobs import catalogue, markers, retry
from regioncap.jobs.finish import finish
from regioncap.parallel import REAL, Runtime
from regioncap.services import due
from regioncap.services.progress import Progress
from regioncap.services.store import Store

#: What became of a job, or of its retry, that was to be cancelled.
Outcome = Literal["cancelled", "retry cancelled", "finished"]

#: Looks at a job that others change meanwhile.
_LOOKS = 20


def cancel(store: Store, progress: Progress, job: Job, *, runtime: Runtime = REAL) -> Outcome:
    """Cancels a job, or its retry; what is done stays. Doing it twice does no harm.

    Returns:
        `finished` if there was nothing left to cancel.

    Raises:
        StoreError: The store is away, or others change the job all the time.
    """
    outcome: Outcome = "finished"
    for _ in range(_LOOKS):
        if retry.pending(store, job.job):
            with markers.changing(store, job.job):
                store.delete_all(store.list_keys(keys.prefix(job.job, "retry")))
            outcome = "retry cancelled"
        if finish(store, progress, job, runtime=runtime) is not None:
            return outcome
        if not catalogue.has_all_parts(store, job):
            _mark(store, job, runtime)
            if not catalogue.has_all_parts(store, job):
                markers.remove(store, markers.settled(store, job.job, runtime))
                with suppress(QueueError):  # then a janitor does it
                    due.drop(progress.redis, job.job)
                    progress.expire()
                return "cancelled"
            store.delete(keys.cancelled_key(job.job))  # it came too late
    raise StoreError(f"job {job.job} is being changed by others", hint="try again")


def _mark(store: Store, job: Job, runtime: Runtime) -> None:
    markers.note_end(store, job.job)
    note = {"job": job.job, "cancelled": runtime.now().isoformat()}
    store.put(keys.cancelled_key(job.job), json.dumps(note).encode(), "application/json")
