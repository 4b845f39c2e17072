"""The end of a job: `_SUCCESS`, which says that the results are complete and sums them up."""

from __future__ import annotations

from collections import Counter

from regioncap import jobs, layout, versions
from regioncap.jobs import Job, Success
from regioncap.progress import Progress
from regioncap.results import summarize
from regioncap.store import Store


def finish(store: Store, progress: Progress, job: Job) -> Success | None:
    """Writes `_SUCCESS` if every part is there; doing it twice does no harm.

    Progress is a cache: what it does not know of a part is read from the part.

    Returns:
        The summary, or None if a part is missing.
    """
    known = progress.parts()
    counts: Counter[str] = Counter()
    parts = []
    for shard in range(job.shards):
        key = layout.results_key(job.job, shard)
        summary = known.get(shard)
        if summary is None:
            part = store.find(key)
            if part is None:
                return None
            summary = summarize(part)
        counts.update(summary["counts"])
        parts.append({"key": key, "sha256": summary["sha256"], **summary["counts"]})
    finished = jobs.now()
    success = Success(
        job=job.job,
        finished=finished,
        version=versions.current(store, job.job),
        counts=dict(counts),
        sums=jobs.sums(job, counts, finished),
        parts=parts,
    )
    text = success.model_dump_json(indent=2).encode()
    store.put(layout.success_key(job.job), text, "application/json")
    store.delete(layout.open_key(job.job))
    progress.expire()
    return success
