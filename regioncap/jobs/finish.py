"""The end of a job: `_SUCCESS`, which says that the results are complete and sums them up."""

from __future__ import annotations

from contextlib import suppress
from datetime import datetime, timedelta
from typing import Any

from regioncap import keys
from regioncap.errors import QueueError, StoreError
from regioncap.job import Job, Summary, parse_summary, sum_up
from regioncap.jobs import catalogue, markers, results
from regioncap.jobs.success import SuccessWriter
from regioncap.parallel import REAL, Runtime
from regioncap.services.progress import Progress
from regioncap.services.store import Found, Store

#: Summaries asked of Redis at a time.
_AT_A_TIME = 1000
#: Looks at a job that others change meanwhile; each that is in vain had somebody else's succeed.
_LOOKS = 20


def finish(
    store: Store, progress: Progress, job: Job, *, runtime: Runtime = REAL
) -> Summary | None:
    """Has `_SUCCESS` name the parts that stand, if all are there and none is to be done again.

    The store alone decides. Redis saves reading the parts: a summary that it knows counts if it is
    of the very object that stands.

    Returns:
        The summary, or None if a part is missing or to be done again.

    Raises:
        StoreError: The store is away, or others change the job all the time.
    """
    success = finished(store, progress, job, runtime=runtime)
    return None if success is None else parse_summary(success)


def finished(
    store: Store, progress: Progress, job: Job, *, runtime: Runtime = REAL
) -> bytes | None:
    """As `finish`; returns the whole `_SUCCESS`."""
    for _ in range(_LOOKS):
        # In this order: a change whose marker is among these was made before all the rest is read.
        done = markers.settled(store, job.job, runtime)
        before = store.find_tagged(keys.success_key(job.job))
        if catalogue.parts(store, job.job, "retry"):
            return None
        writer = _gathered(store, progress, job)
        if writer is None:
            return None
        success = _written(store, job, before, writer, runtime)
        if success is not None:
            markers.remove(store, done)
            with suppress(QueueError):
                progress.expire()
            return success
    raise StoreError(f"job {job.job} is being changed by others", hint="try again")


def _gathered(store: Store, progress: Progress, job: Job) -> SuccessWriter | None:
    """What `_SUCCESS` is to name; None if a part is missing."""
    writer, tags = SuccessWriter(), catalogue.part_tags(store, job)
    if not tags.keys() >= set(range(job.shards)):
        return None
    for start in range(0, job.shards, _AT_A_TIME):
        shards = range(start, min(start + _AT_A_TIME, job.shards))
        for shard, known in zip(shards, _known(progress, shards), strict=True):
            key = keys.part_key(job.job, "results", shard)
            if known is None or known.get("etag") != tags[shard]:
                found = store.find_tagged(key)
                if found is None:
                    return None
                # What the cache did not know.
                known = results.standing(found, store, job, shard)[1].summary  # noqa: PLW2901
            writer.add(key, known)
    return writer


def _known(progress: Progress, shards: range) -> list[dict[str, Any] | None]:
    try:
        return progress.parts(shards)
    except QueueError:
        return [None] * len(shards)


def _written(
    store: Store, job: Job, before: Found | None, writer: SuccessWriter, runtime: Runtime
) -> bytes | None:
    """Writes `_SUCCESS` unless it says the same; None if another wrote it meanwhile."""
    if before is not None and writer.names_what(before.data):
        return before.data
    moment, number = runtime.now(), current(store, job.job)
    worked = _worked(store, job, number, moment)
    summary = Summary(
        job=job.job,
        finished=moment,
        version=number,
        counts=dict(writer.counts),
        worked_s=worked.total_seconds(),
        sums=sum_up(writer.counts, worked, job.settings.price_per_gpu_hour),
    )
    key, text = keys.success_key(job.job), writer.text(summary)
    if before is None:
        markers.note_end(store, job.job)
        written = store.put_new(key, text, "application/json", lasting=False)
    else:
        written = store.put_matching(key, text, before.etag, "application/json")
    return None if written is None else text


def _worked(store: Store, job: Job, number: int, moment: datetime) -> timedelta:
    """For how long the job was worked on: not while it was finished and nobody changed it."""
    key = f"{keys.version_prefix(job.job, number - 1)}_SUCCESS"
    earlier = store.find(key) if number > 1 else None
    began = store.modified(key) if earlier is not None else None
    if earlier is None or began is None:
        return moment - job.created
    before = parse_summary(earlier)
    worked = before.finished - job.created
    if before.worked_s is not None:
        worked = timedelta(seconds=before.worked_s)
    return worked + max(timedelta(), moment - began)


def current(store: Store, job_id: str) -> int:
    """Number of the version that the results are: 1 if nobody has changed them."""
    number = 1
    while store.exists(f"{keys.version_prefix(job_id, number)}_SUCCESS"):
        number += 1
    return number
