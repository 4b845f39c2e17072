"""Retry: records of a finished job that failed, or that were chosen, are run again; nothing else.

For each part with such records an object `jobs/<job>/retry/part-00042.<token>.json` names them.
While it is there the stages do these records again, put them into their places in the parts, and
last remove the objects that they have read; a worker that dies in between leaves them for the next.

What a person wrote stays as it is unless that is asked for, and whatever is replaced is kept first;
see `regioncap.jobs.kept`.
"""

from __future__ import annotations

import json
from collections import Counter
from collections.abc import Iterable, Mapping, Set
from contextlib import suppress
from dataclasses import dataclass, field
from typing import Any

from pydantic import BaseModel, Field, ValidationError

from regioncap import keys
from regioncap.errors import StoreError
from regioncap.job import Job
from regioncap.jobs import advice, catalogue, faults, markers, results
from regioncap.jobs.finish import finished
from regioncap.jobs.kept import Version, newest
from regioncap.jobs.status import job_status
from regioncap.parallel import REAL, Runtime, map_ahead
from regioncap.records import dump_lines
from regioncap.services.attempts import Attempts
from regioncap.services.progress import Progress
from regioncap.services.store import Found, Store
from regioncap.settings import Verify

#: Looks at a job that others change meanwhile.
_LOOKS = 20


class Again(BaseModel):
    """Which records of a shard are to be done again."""

    #: Places, among the job's records, of those that failed.
    indices: set[int]
    #: Places of those that did not, but are to be captioned again.
    flagged: set[int] = set()
    #: Places of those whose captions are to be asked back, and how.
    verify: set[int] = set()
    verify_as: Verify = "mark"
    #: When a person wrote what may be replaced all the same, by the record's place.
    edited: dict[int, str] = {}
    #: The objects that say so.
    keys: list[str] = Field(default=[], exclude=True)

    @property
    def is_for_something(self) -> bool:
        """Whether there is anything to do."""
        return bool(self.indices or self.flagged or self.verify)

    def wants(self, record: Mapping[str, Any]) -> bool:
        """Whether a record of the results is to be replaced as it is now."""
        edited = record.get("edited")
        if edited and self.edited.get(record["index"]) != edited["at"]:
            return False
        failed = record["error"] is not None and record["index"] in self.indices
        return failed or record["index"] in self.flagged


@dataclass(slots=True)
class Outlook:
    """What is known beforehand of failed records that are to be done again."""

    #: How many failed at submission, and are not done again.
    unread: int = 0
    #: Those that would fail again, as what they hold is to blame; by their error's code.
    same: Counter[str] = field(default_factory=Counter)

    def look(self, lines: Iterable[Mapping[str, Any]], *, edited: bool) -> None:
        """Counts the records of a part."""
        for record in lines:
            error = record["error"]
            if error is None or (record.get("edited") and not edited):
                continue
            self.unread += error["stage"] == "submit"
            if faults.is_as_given(record):
                self.same[error["code"]] += 1


def find(store: Store, job_id: str, shard: int) -> Again | None:
    """What of a shard is to be done again; None if nothing is."""
    found = None
    for key in store.list_keys(keys.prefix(job_id, "retry") + keys.part_name(shard, "")):
        if text := store.find(key):
            found = found or Again(indices=set())
            with suppress(ValidationError):  # one that cannot be read wishes nothing, and goes
                wish = Again.model_validate_json(text)
                found.indices |= wish.indices
                found.flagged |= wish.flagged
                if wish.verify:
                    found.verify |= wish.verify
                    # Who wants refuted captions anew wants them marked as well.
                    if found.verify_as != "retry":
                        found.verify_as = wish.verify_as
                found.edited |= wish.edited
            found.keys.append(key)
    return found


def end(store: Store, again: Again) -> None:
    """Says that a shard's records have been done again."""
    for key in again.keys:
        store.delete(key)


def pending(store: Store, job_id: str) -> set[int]:
    """Shards that have something to be done again."""
    return catalogue.parts(store, job_id, "retry")


def merged(part: bytes, made: Mapping[int, dict[str, Any]], again: Again) -> tuple[bytes, set[int]]:
    """A results part with records that were done again in their places; the others byte for byte.

    Args:
        part: The part as it stands.
        made: The new records, by index.
        again: What was to be done again.

    Returns:
        The part, and which records are new in it.
    """
    lines, placed = [], set()
    for line in part.split(b"\n"):
        record = json.loads(line) if line else None
        if record and again.wants(record) and record["index"] in made:
            placed.add(record["index"])
            line = dump_lines([made[record["index"]]]).rstrip(b"\n")  # noqa: PLW2901
        lines.append(line)
    return b"\n".join(lines), placed


def with_verdicts(
    part: bytes, made: Mapping[int, dict[str, Any]], before: Mapping[int, dict[str, Any]]
) -> tuple[bytes, set[int]]:
    """A results part with records that were asked back in their places; the others byte for byte.

    Args:
        part: The part as it stands.
        made: The records with their verdicts, by index.
        before: The same as they were read: one that is another now stays.

    Returns:
        The part, and which records are new in it.
    """
    lines, placed = [], set()
    for line in part.split(b"\n"):
        record = json.loads(line) if line else None
        if record and record["index"] in made and record == before[record["index"]]:
            placed.add(record["index"])
            line = dump_lines([made[record["index"]]]).rstrip(b"\n")  # noqa: PLW2901
        lines.append(line)
    return b"\n".join(lines), placed


def begin(
    store: Store,
    progress: Progress,
    job: Job,
    flagged: Set[int] = frozenset(),
    *,
    edited: bool = False,
    as_given: bool = False,
    verify: Verify = "no",
    outlook: Outlook | None = None,
    runtime: Runtime = REAL,
) -> dict[int, Again]:
    """Opens a finished job again for its failed and flagged records; queues nothing.

    Or, to have captions asked back, for all records that have any, and for no others.

    Records that failed at submission stay as they are: workers have nothing to work on. So do those
    that would fail again for what they hold, unless that is asked for.

    Args:
        store: Where the job lies.
        progress: The job's progress.
        job: The job.
        flagged: Further records, by index, that are to be captioned again.
        edited: Whether what a person wrote may be replaced.
        as_given: Whether those run too that failed for what they hold.
        verify: Whether and how captions are to be asked back, instead of all else.
        outlook: Is told what is known beforehand of the failed records.
        runtime: The clock and the threads.

    Returns:
        What is to be done again, by shard; empty if no record can be.

    Raises:
        UsageError: The job is not finished (`not-finished`), or was cancelled (`cancelled`).
        ServiceError: The store or Redis is away; saying it again goes on where it broke off.
    """
    for _ in range(_LOOKS):
        begun = pending(store, job.job)
        if begun and edited:
            raise _not_finished(store, job)
        version = _version(store, progress, job, begun, runtime)
        chosen = {shard: Again(indices=set()) for shard in begun}
        is_as_read, seen = True, Outlook()
        for shard, found in _parts(store, job, runtime):
            part = results.checked(found.data, store, job, shard)
            progress.note_part(shard, part.summary | {"etag": found.etag})
            if verify == "no":
                seen.look(part.lines, edited=edited)
                wish = _wish(part.lines, flagged, edited=edited, as_given=as_given)
            else:
                wish = _verify_wish(part.lines, verify)
            if wish.is_for_something:
                is_kept = version is None or version.keep(shard, found.data)
                is_as_read = is_as_read and (is_kept or bool(begun))
                chosen[shard] = wish
        if is_as_read:
            if chosen:
                _open(store, progress, job, chosen, runtime)
            if outlook is not None:
                outlook.unread, outlook.same = seen.unread, seen.same
            return chosen
    raise StoreError(f"job {job.job} is being changed by others", hint="try again")


def _version(
    store: Store, progress: Progress, job: Job, begun: Set[int], runtime: Runtime
) -> Version | None:
    """What is published of the job, or was before a retry that is under way."""
    if begun:
        success = newest(store, job.job)
        return Version(store, job, success) if success else None
    success = finished(store, progress, job, runtime=runtime)
    if success is not None:
        return Version(store, job, success)
    raise _not_finished(store, job)


def _not_finished(store: Store, job: Job) -> Exception:
    return advice.not_finished(job_status(store, None, job), job)


def _parts(store: Store, job: Job, runtime: Runtime) -> Iterable[tuple[int, Found]]:
    def find_part(shard: int) -> Found | None:
        return store.find_tagged(keys.part_key(job.job, "results", shard))

    parts = map_ahead(find_part, range(job.shards), ahead=16, runtime=runtime)
    return ((shard, part) for shard, part in enumerate(parts) if part is not None)


def _open(
    store: Store, progress: Progress, job: Job, chosen: Mapping[int, Again], runtime: Runtime
) -> None:
    with markers.changing(store, job.job, alone=runtime):
        for shard, wish in chosen.items():
            if wish.is_for_something:
                key = keys.retry_key(job.job, shard, keys.new_token())
                store.put(key, wish.model_dump_json().encode(), "application/json")
        # All parts are there: a cancellation came too late.
        store.delete(keys.cancelled_key(job.job))
        reopen(store, progress, job, set(chosen))


def reopen(store: Store, progress: Progress, job: Job, shards: Set[int]) -> None:
    """Makes a finished job an unfinished one that lacks these shards; within `changing`."""
    store.delete(keys.success_key(job.job))
    progress.keep()
    for shard in shards:
        progress.forget_part(shard)
        for stage in ("render", "caption"):
            Attempts(progress.redis, job.job, stage, shard).clear()


def _verify_wish(lines: list[dict[str, Any]], verify: Verify) -> Again:
    """The records of a part that have captions to ask back."""
    captioned = {
        record["index"]
        for record in lines
        if any(region["caption"] is not None for region in record["regions"])
    }
    return Again(indices=set(), verify=captioned, verify_as=verify)


def _wish(
    lines: list[dict[str, Any]], flagged: Set[int], *, edited: bool, as_given: bool = False
) -> Again:
    """What of a part is to be done again."""
    records = [record for record in lines if edited or record.get("edited") is None]
    return Again(
        indices={
            record["index"]
            for record in records
            if record["error"] is not None
            and record["error"]["stage"] != "submit"
            and (as_given or not faults.is_as_given(record))
        },
        flagged=flagged & {record["index"] for record in records},
        edited={
            record["index"]: record["edited"]["at"] for record in records if record.get("edited")
        },
    )
