"""The catalogue: which jobs there are, what job.json says of each, and whether it is finished."""

from __future__ import annotations

from collections.abc import Callable, Iterable, Iterator
from itertools import islice

from pydantic import ValidationError

from regioncap import keys
from regioncap.errors import (
    NewerFormatError,
    NotFoundError,
    RegionCapError,
    ServiceError,
    StoreDeniedError,
    UsageError,
)
from regioncap.job import Job, Summary, parse_summary
from regioncap.records import dump_json
from regioncap.services.store import Store

#: A job.json takes some kilobytes, and the user's own prompt template.
MAX_JOB_BYTES = 1_000_000
#: More than what stands before the parts in `_SUCCESS` takes: that is under two kilobytes.
_HEAD_BYTES = 16 * 1024


def save(store: Store, job: Job, *, is_new: bool = False) -> None:
    """Writes a job; the marker first, so that a job that is there is always found again.

    Args:
        store: Where it is to lie.
        job: The job.
        is_new: Whether one that is there already stays as it is.

    Raises:
        UsageError: Its name, labels and template are too long together.
    """
    text = dump_json(job, indent=2)
    if len(text) > MAX_JOB_BYTES:
        raise UsageError(
            f"name, labels and prompt template take {len(text):,} bytes (at most"
            f" {MAX_JOB_BYTES:,})",
            code="job-too-large",
            hint="shorten them",
        )
    store.put(keys.open_key(job.job), b"")
    if is_new:
        store.put_new(keys.job_key(job.job), text, "application/json")
    else:
        store.put(keys.job_key(job.job), text, "application/json")


def load(store: Store, job_id: str) -> Job:
    """Reads a job.

    Raises:
        NotFoundError: There is no such job.
        NewerFormatError: It was written by a newer version.
        RegionCapError: It cannot be read (`bad-job`).
    """
    try:
        key = keys.job_key(keys.check_job_id(job_id))
        text = store.get(key, limit_bytes=MAX_JOB_BYTES)
    except NotFoundError:
        raise NotFoundError(
            f"there is no job {job_id}",
            code="no-such-job",
            hint="`regioncap jobs` lists the recent ones",
        ) from None
    try:
        job = Job.model_validate_json(text if len(text) <= MAX_JOB_BYTES else b"")
    except NewerFormatError as error:
        raise NewerFormatError(f"job {job_id} is {error.message}", hint=error.hint) from None
    except ValidationError as error:
        raise RegionCapError(
            f"job.json of {job_id} cannot be read: {error.error_count()} fields do not fit",
            code="bad-job",
            hint="was it submitted by another version of RegionCap?",
        ) from error
    if job.job != job_id:
        raise RegionCapError(
            f"job.json of {job_id} is that of another job",
            code="bad-job",
            hint="submit it again",
        )
    return job


def load_shard(store: Store, job_id: str, shard: int) -> Job:
    """Reads the job of a shard; as `load`.

    Raises:
        NotFoundError: There is no such job, or it has no such shard.
    """
    job = load(store, job_id)
    if shard not in range(job.shards):
        raise NotFoundError(
            f"job {job_id} has no shard {shard}",
            code="no-such-shard",
            hint=f"it has {job.shards:,}, from 0",
        )
    return job


def find_success(store: Store, job_id: str) -> Summary | None:
    """The summary of a finished job; None while it is unfinished.

    Reads no more than the head of the object: a job of a million records has megabytes of parts.
    """
    try:
        return parse_summary(store.get(keys.success_key(job_id), limit_bytes=_HEAD_BYTES))
    except NotFoundError:
        return None


def open_ids(store: Store) -> list[str]:
    """Ids of the jobs that have not ended, and of those being submitted; the oldest first."""
    return list(dict.fromkeys(map(keys.opened, store.list_keys(keys.OPEN))))


def load_each(
    store: Store, ids: Iterable[str], left_out: Callable[[str, RegionCapError], None]
) -> Iterator[Job]:
    """Reads jobs, and goes on where one cannot be read.

    Args:
        store: Where they lie.
        ids: Their ids.
        left_out: Told of each that cannot be read; a NotFoundError is that of a submission that is
            under way or broke off: there are parts, and no job.json.

    Raises:
        ServiceError: The store is away.
    """
    for job_id in ids:
        try:
            job = load(store, job_id)
        except ServiceError as error:
            if not isinstance(error, StoreDeniedError):
                raise
            left_out(job_id, error)
        except RegionCapError as error:
            left_out(job_id, error)
        else:
            yield job


def recent(
    store: Store, limit: int, left_out: Callable[[RegionCapError], None] = lambda _: None
) -> list[Job]:
    """The newest jobs, newest first.

    Args:
        store: Where they lie.
        limit: How many.
        left_out: Told of each job that cannot be read.
    """

    def tell(_: str, error: RegionCapError) -> None:
        if not isinstance(error, NotFoundError | UsageError):
            left_out(error)

    return list(islice(load_each(store, find_ids(store), tell), limit))


def find_ids(store: Store, beginning: str = "") -> list[str]:
    """Ids of all jobs, with those being submitted, or of those that begin so; the newest first."""
    prefixes = store.list_keys(keys.JOBS + beginning, recursive=False)
    found = (prefix.removeprefix(keys.JOBS).rstrip("/") for prefix in prefixes)
    return sorted(filter(keys.is_job_id, found), reverse=True)


def is_gone(store: Store, job_id: str) -> bool:
    """Whether nothing is left of a job: some stores go on listing its empty folder for a while."""
    prefixes = (keys.prefix(job_id), keys.open_key(job_id))
    found = (key for prefix in prefixes for key in store.list_keys(prefix))
    return all(key.endswith("/") for key in found)


def parts(store: Store, job_id: str, kind: keys.Parts) -> set[int]:
    """The shards of which a job has a part of one kind; other objects there are none."""
    listed = store.list_keys(keys.prefix(job_id, kind))
    numbers = (keys.part_number(key, job_id, kind) for key in listed)
    return {number for number in numbers if number is not None}


def part_tags(store: Store, job: Job) -> dict[int, str]:
    """The ETag of each results part that is there, by shard."""
    stored = store.list_stored(keys.prefix(job.job, "results"))
    tags = ((keys.part_number(part.key, job.job, "results"), part.etag) for part in stored)
    return {shard: etag for shard, etag in tags if shard is not None}


def has_all_parts(store: Store, job: Job) -> bool:
    """Whether every shard has its results."""
    return parts(store, job.job, "results") >= set(range(job.shards))
