"""Jobs: what job.json holds, and whether a job is finished or cancelled."""

from __future__ import annotations

from collections.abc import Callable, Mapping
from datetime import UTC, datetime
from functools import lru_cache
from itertools import islice
from typing import Any

from pydantic import BaseModel, Field, ValidationError

from regioncap import layout
from regioncap.errors import (
    NewerFormatError,
    NotFoundError,
    RegionCapError,
    ServiceError,
    UsageError,
)
from regioncap.formats import SCHEMA_VERSION, FormatVersion
from regioncap.prompts import Template, built_in, parse_template
from regioncap.settings import JobSettings
from regioncap.store import Store
from regioncap.sums import Sums, sum_up

#: More than what stands before the parts in `_SUCCESS` takes: that is under two kilobytes.
_HEAD_BYTES = 16 * 1024
_PARTS = b'"parts":'


class Job(BaseModel):
    """One submission. Written once, before anything is queued, and never changed."""

    schema_version: FormatVersion = SCHEMA_VERSION
    job: str
    created: datetime
    name: str = ""
    labels: dict[str, str] = Field(default_factory=dict)
    #: Where the records came from, as the user wrote it.
    source: str = ""
    records: int
    shards: int
    #: Records that could not be read or whose image could not be uploaded.
    rejected: int = 0
    settings: JobSettings
    #: Text of the prompt template if it is the user's own; empty for one that is built in.
    prompt_template: str = ""

    @property
    def template(self) -> Template:
        """The words in which the engine is asked."""
        return _template(self.settings.prompt, self.prompt_template)

    def shard_records(self, shard: int) -> range:
        """Indices of the records in a shard."""
        size = self.settings.shard_size
        return range(shard * size, min((shard + 1) * size, self.records))


@lru_cache(maxsize=64)
def _template(name: str, text: str) -> Template:
    return parse_template(text, name) if text else built_in(name)


def sums(job: Job, counts: Mapping[str, int], until: datetime) -> Sums:
    """What a job came to, by its counts, from its submission until a moment."""
    return sum_up(counts, until - job.created, job.settings.price_per_gpu_hour)


class Summary(BaseModel):
    """What `_SUCCESS` says of a finished job as a whole; it stands before the parts."""

    schema_version: FormatVersion = SCHEMA_VERSION
    job: str
    finished: datetime
    #: Of the results: 1 as captioned, and one more with each import of edits.
    version: int = 1
    counts: dict[str, int]
    sums: Sums | None = None


class Success(Summary):
    """The whole `_SUCCESS` object: says that the results are complete, and sums them up."""

    #: One a shard, in order: key, sha256 and counts. Last in the object, and most of it.
    parts: list[dict[str, Any]]


def now() -> datetime:
    """The time, in UTC, to the millisecond."""
    moment = datetime.now(UTC)
    return moment.replace(microsecond=moment.microsecond // 1000 * 1000)


def save(store: Store, job: Job) -> None:
    """Writes a job; the marker first, so that a job that is there is always found again."""
    store.put(layout.open_key(job.job), b"")
    store.put(layout.job_key(job.job), job.model_dump_json(indent=2).encode(), "application/json")


def load(store: Store, job_id: str) -> Job:
    """Reads a job.

    Raises:
        NotFoundError: There is no such job.
        NewerFormatError: It was written by a newer version.
        RegionCapError: It cannot be read (`bad-job`).
    """
    try:
        text = store.get(layout.job_key(layout.check_job_id(job_id)))
    except NotFoundError:
        raise NotFoundError(
            f"there is no job {job_id}",
            code="no-such-job",
            hint="`regioncap status` lists the recent ones",
        ) from None
    try:
        return Job.model_validate_json(text)
    except NewerFormatError as error:
        raise NewerFormatError(f"job {job_id} is {error.message}", hint=error.hint) from None
    except ValidationError as error:
        raise RegionCapError(
            f"job.json of {job_id} cannot be read: {error.error_count()} fields do not fit",
            code="bad-job",
            hint="was it submitted by another version of RegionCap?",
        ) from error


def find_success(store: Store, job_id: str) -> Summary | None:
    """The summary of a finished job; None while it is unfinished.

    Reads no more than the head of the object: a job of a million records has megabytes of parts.
    """
    try:
        return parse_summary(store.get(layout.success_key(job_id), limit_bytes=_HEAD_BYTES))
    except NotFoundError:
        return None


def parse_summary(text: bytes) -> Summary:
    """What stands before the parts in the text of a `_SUCCESS`, whole or cut off among them."""
    end = text.find(_PARTS)
    return Summary.model_validate_json(text if end < 0 else text[:end] + _PARTS + b"[]}")


def recent(
    store: Store, limit: int, left_out: Callable[[RegionCapError], None] = lambda _: None
) -> list[Job]:
    """The newest jobs, newest first.

    Args:
        store: Where they lie.
        limit: How many.
        left_out: Told of each job that cannot be read.
    """
    prefixes = store.list_keys(layout.JOBS, recursive=False)
    ids = sorted(
        (prefix.removeprefix(layout.JOBS).rstrip("/") for prefix in prefixes), reverse=True
    )
    return list(islice(filter(None, (_find(store, each, left_out) for each in ids)), limit))


def _find(store: Store, job_id: str, left_out: Callable[[RegionCapError], None]) -> Job | None:
    try:
        return load(store, job_id)
    except (NotFoundError, UsageError):
        return None  # of a submission that broke off there are parts, but no job.json
    except ServiceError:
        raise
    except RegionCapError as error:
        left_out(error)
        return None
