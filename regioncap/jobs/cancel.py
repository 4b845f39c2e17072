"""Cancelling: `_CANCELLED` in the store says so, and workers leave the job alone from then on."""

from __future__ import annotations

import json

from regioncap import keys
from regioncap.job import Job, now
from regioncap.jobs import catalogue
from regioncap.services.store import Store


def cancel(store: Store, job: Job) -> bool:
    """Cancels a job; what is done stays. Doing it twice does no harm.

    Returns:
        Whether it is cancelled now; False if it was finished before.
    """
    if catalogue.find_success(store, job.job) is not None:
        return False
    note = {"job": job.job, "cancelled": now().isoformat()}
    store.put(keys.cancelled_key(job.job), json.dumps(note).encode(), "application/json")
    store.delete(keys.open_key(job.job))
    return True
