"""Failures of a job, named for people: which lines of the input they are, and why."""

from __future__ import annotations

from collections.abc import Iterator
from itertools import islice

from regioncap import keys
from regioncap.errors import QueueError
from regioncap.job import Job
from regioncap.jobs.results import checked
from regioncap.services.progress import Progress
from regioncap.services.store import Store

_NAMED = 3
#: Parts that are read for it at most.
_PARTS = 8


def first(store: Store, progress: Progress, job: Job) -> list[str]:
    """The first failed records, a line each: `my.jsonl:3: image-missing: image ... cannot be read`.

    Args:
        store: Where the results lie.
        progress: It knows which parts hold failures; without it nothing is looked for.
        job: The job.

    Raises:
        StoreError: The store is away.
    """
    return list(islice(_named(store, progress, job), _NAMED))


def _named(store: Store, progress: Progress, job: Job) -> Iterator[str]:
    try:
        shards = sorted(progress.failed())
    except QueueError:
        return
    for shard in shards[:_PARTS]:
        part = store.find(keys.part_key(job.job, "results", shard))
        for record in checked(part, store, job, shard).lines if part else []:
            if (error := record["error"]) is not None:
                where = f"{job.source or 'records'}:{record['line']}"
                yield f"{where}: {error['code']}: {error['message']}"
