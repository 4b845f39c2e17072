"""Parts of the input and rendered parts, checked before they are believed.

Whoever may submit may put anything under the name of an input part, and a store may lose or spoil
what workers wrote. What comes out of here is one record for each place of the shard, in order: the
stored one, or one that says what is wrong.
"""

from __future__ import annotations

import re
from collections.abc import Callable
from typing import TypeVar

from pydantic import BaseModel

from regioncap import keys
from regioncap.errors import StoreLateError
from regioncap.inputs.originals import LATE, Asked, for_the_last_time
from regioncap.job import Job
from regioncap.records import MAX_REGIONS, InputRecord, Problem, RenderedRecord, dump_json
from regioncap.services.store import Store

R = TypeVar("R", bound=BaseModel)
#: What may be read as a number that JSON has not: NaN, Infinity, 1e400, four hundred digits.
_UNENDING = re.compile(rb"NaN|Infinity|[eE]\+?\d{3}|\d{300}")
T = TypeVar("T")


def submitted(
    store: Store, job: Job, shard: int, asked: Asked = for_the_last_time
) -> list[InputRecord]:
    """The records of a shard, as submitted.

    Args:
        store: Where they lie.
        job: The job.
        shard: The shard.
        asked: As in `Originals.read`.

    Raises:
        StoreLateError: They are not there, and are to be asked for again.
        NewerFormatError: A newer version wrote them.
        StoreError: The store is away.
    """
    key = keys.part_key(job.job, "input", shard)
    part = store.find(key)
    if part is None:
        if asked(StoreLateError.code) < LATE:
            raise StoreLateError(f"the store does not show {key}")
        problem = _problem("input-lost", f"{key} is gone from the store", "submit it again")
        return [_no_record(index, problem) for index in job.shard_records(shard)]
    return read_submitted(part, job, shard)


def read_submitted(part: bytes, job: Job, shard: int) -> list[InputRecord]:
    """The records of an input part; as `submitted`."""

    def give_up(index: int, what: str) -> InputRecord:
        return _no_record(index, _problem("input-unreadable", what, "submit it again"))

    key = keys.part_key(job.job, "input", shard)
    return each(part, key, job.shard_records(shard), _submitted_line, give_up)


def rendered(part: bytes, store: Store, job: Job, shard: int) -> list[RenderedRecord]:
    """The records of a rendered part; those that cannot be read are as submitted, with an error.

    Raises:
        NewerFormatError: A newer version wrote them.
        StoreError: The store is away.
    """
    key, places = keys.part_key(job.job, "rendered", shard), job.shard_records(shard)
    as_submitted: list[InputRecord] = []

    def give_up(index: int, what: str) -> RenderedRecord:
        if not as_submitted:
            as_submitted.extend(submitted(store, job, shard))
        record = as_submitted[index - places.start]
        problem = _problem("rendered-unreadable", what, f"regioncap retry {job.job} renders it")
        return RenderedRecord.of(record.model_copy(update={"error": record.error or problem}))

    return each(part, key, places, _rendered_line, give_up)


def each(
    part: bytes,
    key: str,
    places: range,
    read: Callable[[bytes, int], T | None],
    give_up: Callable[[int, str], T],
) -> list[T]:
    """What stands in each line of a part.

    Args:
        part: Its bytes.
        key: Its name, for what is said of it.
        places: The indices of the records that it should hold.
        read: Reads the line of an index; None for one that is none.
        give_up: What to take in place of such a line, from its index and what is wrong.
    """
    lines = [line for line in part.split(b"\n") if line]
    if len(lines) != len(places):
        what = f"{key} holds {len(lines):,} records in place of {len(places):,}"
        return [give_up(index, what) for index in places]
    found = []
    for index, line in zip(places, lines, strict=True):
        record = read(line, index)
        what = f"record {index} of {key} is none"
        found.append(give_up(index, what) if record is None else record)
    return found


def _submitted_line(line: bytes, index: int) -> InputRecord | None:
    record = _read(InputRecord, line)
    if record is None or record.index != index:
        return None
    if len(record.bbox or []) > MAX_REGIONS and record.error is None:
        said = f"{len(record.bbox or []):,} boxes (at most {MAX_REGIONS:,})"
        record.bbox = None
        record.error = Problem(code="too-many-boxes", message=said, stage="render")
    return record


def _rendered_line(line: bytes, index: int) -> RenderedRecord | None:
    record = _read(RenderedRecord, line)
    if record is None:
        return None
    numbers = [region.region for region in record.regions]
    shown = {region.number for view in record.views for region in view.regions}
    agrees = numbers == list(range(1, len(numbers) + 1)) and shown <= set(numbers)
    return record if agrees and record.index == index else None


def _read(model: type[R], line: bytes) -> R | None:
    """A record of a line; None for one that is none, or could not be written again."""
    try:
        record = model.model_validate_json(line)
        if _UNENDING.search(line):
            dump_json(record)
    except ValueError:  # a ValidationError is one
        return None
    return record


def _no_record(index: int, problem: Problem) -> InputRecord:
    return InputRecord(index=index, line=index + 1, error=problem)


def _problem(code: str, what: str, remedy: str) -> Problem:
    return Problem(code=code, message=f"{what} ({remedy})", stage="render")
