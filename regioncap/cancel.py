"""Cancelling: `_CANCELLED` in the store says so, and workers leave the job alone from then on."""

from __future__ import annotations

import json

from regioncap import jobs, layout
from regioncap.jobs import Job
from regioncap.store import Store


def cancel(store: Store, job: Job) -> bool:
    """Cancels a job; what is done stays. Doing it twice does no harm.

    Returns:
        Whether it is cancelled now; False if it was finished before.
    """
    if jobs.find_success(store, job.job) is not None:
        return False
    note = {"job": job.job, "cancelled": jobs.now().isoformat()}
    store.put(layout.cancelled_key(job.job), json.dumps(note).encode(), "application/json")
    store.delete(layout.open_key(job.job))
    return True
