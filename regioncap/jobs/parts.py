"""Parts as they were submitted, checked before they are believed.

Whoever may submit may put anything under the name of an input part. What comes out of here is one
record for each place of the shard, in order: the submitted one, or one that says what is wrong.
"""

from __future__ import annotations

from pydantic import ValidationError

from regioncap import keys
from regioncap.errors import StoreLateError
from regioncap.inputs.originals import LATE, Asked, for_the_last_time
from regioncap.job import Job
from regioncap.records import MAX_REGIONS, InputRecord, Problem
from regioncap.services.store import Store


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
        return _lost(job, shard, _problem("input-lost", f"{key} is gone from the store"))
    return read_submitted(part, job, shard)


def read_submitted(part: bytes, job: Job, shard: int) -> list[InputRecord]:
    """The records of an input part; as `submitted`."""
    key = keys.part_key(job.job, "input", shard)
    places = job.shard_records(shard)
    lines = [line for line in part.split(b"\n") if line]
    if len(lines) != len(places):
        said = f"{key} holds {len(lines):,} records in place of {len(places):,}"
        return _lost(job, shard, _problem("input-unreadable", said))
    return [_record(line, index, key) for index, line in zip(places, lines, strict=True)]


def _record(line: bytes, index: int, key: str) -> InputRecord:
    try:
        record = InputRecord.model_validate_json(line)
    except ValidationError:
        record = None
    if record is None or record.index != index:
        return _no_record(index, _problem("input-unreadable", f"record {index} of {key} is none"))
    if len(record.bbox or []) > MAX_REGIONS and record.error is None:
        said = f"{len(record.bbox or []):,} boxes (at most {MAX_REGIONS:,})"
        record.bbox = None
        record.error = Problem(code="too-many-boxes", message=said, stage="render")
    return record


def _lost(job: Job, shard: int, problem: Problem) -> list[InputRecord]:
    return [_no_record(index, problem) for index in job.shard_records(shard)]


def _no_record(index: int, problem: Problem) -> InputRecord:
    return InputRecord(index=index, line=index + 1, error=problem)


def _problem(code: str, what: str) -> Problem:
    return Problem(code=code, message=f"{what} (submit it again)", stage="render")
