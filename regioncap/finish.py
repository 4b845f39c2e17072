"""The end of a job: `_SUCCESS`, which says that the results are complete and sums them up."""

from __future__ import annotations

from collections.abc import Iterator
from typing import Any

from regioncap import jobs, layout, versions
from regioncap.jobs import Job, Summary
from regioncap.progress import Progress
from regioncap.results import summarize
from regioncap.store import Store
from regioncap.success import SuccessWriter

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
    finished = jobs.now()
    success = Summary(
        job=job.job,
        finished=finished,
        version=versions.current(store, job.job),
        counts=dict(writer.counts),
        sums=jobs.sums(job, writer.counts, finished),
    )
    writer.write(store, success)
    store.delete(layout.open_key(job.job))
    progress.expire()
    return success


def _summaries(
    store: Store, progress: Progress, job: Job
) -> Iterator[tuple[str, dict[str, Any] | None]]:
    """Key and summary of each part, in order; None for one that is not there."""
    for start in range(0, job.shards, _AT_A_TIME):
        shards = range(start, min(start + _AT_A_TIME, job.shards))
        for shard, known in zip(shards, progress.parts(shards), strict=True):
            key = layout.results_key(job.job, shard)
            part = None if known else store.find(key)
            yield key, summarize(part) if part else known
