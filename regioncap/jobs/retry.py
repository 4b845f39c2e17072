"""Retry: records of a finished job that failed, or that were chosen, are run again; nothing else.

For each part with such records an object `jobs/<job>/retry/part-00042.json` names them. While it
is there the stages do these records again, put them into their places in the parts, and last
remove it; a worker that dies in between leaves it for the next.
"""

from __future__ import annotations

from collections.abc import Set

from pydantic import BaseModel

from regioncap import keys
from regioncap.job import Job
from regioncap.jobs import catalogue
from regioncap.jobs.results import parse_part, read_parts, summarize
from regioncap.services.attempts import Attempts
from regioncap.services.progress import Progress
from regioncap.services.store import Store


class Again(BaseModel):
    """Which records of a shard are to be done again."""

    #: Places, among the job's records, of those that failed.
    indices: set[int]
    #: Places of those that did not, but are to be captioned again.
    flagged: set[int] = set()


def find(store: Store, job_id: str, shard: int) -> Again | None:
    """What of a shard is to be done again; None if nothing is."""
    text = store.find(keys.part_key(job_id, "retry", shard))
    return Again.model_validate_json(text) if text else None


def end(store: Store, job_id: str, shard: int) -> None:
    """Says that a shard's records have been done again."""
    store.delete(keys.part_key(job_id, "retry", shard))


def pending(store: Store, job_id: str) -> set[int]:
    """Shards that have something to be done again."""
    return catalogue.parts(store, job_id, "retry")


def begin(
    store: Store, progress: Progress, job: Job, flagged: Set[int] = frozenset()
) -> dict[int, Again]:
    """Opens a finished job again for its failed and flagged records; queues nothing.

    Records that failed at submission stay as they are: workers have nothing to work on.

    Args:
        store: Where the job lies.
        progress: The job's progress.
        job: The job.
        flagged: Further records, by index, that are to be captioned again.

    Returns:
        What is to be done again, by shard; empty if no record can be.

    Raises:
        UsageError: The job is not finished.
        ServiceError: The store or Redis is away; saying it again goes on where it broke off.
    """
    chosen = {shard: Again(indices=set()) for shard in pending(store, job.job)}
    if catalogue.find_success(store, job.job) is None and not chosen:
        raise catalogue.not_finished(job)
    for shard, part in read_parts(store, job):
        progress.note_part(shard, summarize(part))
        failed, further = _failed(part), flagged & set(job.shard_records(shard))
        if failed or further:
            chosen[shard] = Again(indices=failed, flagged=further)
            text = chosen[shard].model_dump_json().encode()
            store.put(keys.part_key(job.job, "retry", shard), text, "application/json")
    if chosen:
        reopen(store, progress, job, set(chosen))
    return chosen


def reopen(store: Store, progress: Progress, job: Job, shards: set[int]) -> None:
    """Makes a finished job an unfinished one that lacks these shards."""
    store.put(keys.open_key(job.job), b"")
    store.delete(keys.success_key(job.job))
    progress.keep()
    for shard in shards:
        progress.forget_part(shard)
        for stage in ("render", "caption"):
            Attempts(progress.redis, job.job, stage, shard).clear()


def _failed(part: bytes) -> set[int]:
    return {
        record["index"]
        for record in parse_part(part)
        if record["error"] is not None and record["error"]["stage"] != "submit"
    }
