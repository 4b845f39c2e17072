"""The end of a job: `_SUCCESS`, which says that the results are complete and sums them up."""

from __future__ import annotations

from collections.abc import Iterator
from typing import Any

from regioncap import keys
from regioncap.job import Job, Summary, now, sums
from regioncap.jobs.results import summarize
from regioncap.jobs.success import SuccessWriter
from regioncap.services.progress import Progress
from regioncap.services.store import Store

#: Summaries asked of Redis at a time.
_AT_A_TIME = 1000


def finish(store: Store, progress: Progress, job: Job) -> Summary | None:
    """Writes `_SUCCESS` if every part is there; doing it twice does no harm.

    Progress is a cache: what it does not know of a part is read from the part.

    Returns:
        The summary, or None if a part is missing.
    """
    writer = SuccessWriter()
    for key, summary in _summaries(store, progress, job):
        if summary is None:
            return None
        writer.add(key, summary)
    finished = now()
    success = Summary(
        job=job.job,
        finished=finished,
        version=current(store, job.job),
        counts=dict(writer.counts),
        sums=sums(job, writer.counts, finished),
    )
    writer.write(store, success)
    store.delete(keys.open_key(job.job))
    progress.expire()
    return success


def _summaries(
    store: Store, progress: Progress, job: Job
) -> Iterator[tuple[str, dict[str, Any] | None]]:
    """Key and summary of each part, in order; None for one that is not there."""
    for start in range(0, job.shards, _AT_A_TIME):
        shards = range(start, min(start + _AT_A_TIME, job.shards))
        for shard, known in zip(shards, progress.parts(shards), strict=True):
            key = keys.part_key(job.job, "results", shard)
            part = None if known else store.find(key)
            yield key, summarize(part) if part else known


def current(store: Store, job_id: str) -> int:
    """Number of the version that the results are: 1 if nobody edited them."""
    number = 1
    while store.exists(f"{keys.version_prefix(job_id, number)}_SUCCESS"):
        number += 1
    return number
