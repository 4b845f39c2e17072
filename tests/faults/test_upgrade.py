"""Workers of two versions on the same queues: each job comes out whole, and none is blamed."""

from __future__ import annotations

import json
import uuid
from pathlib import Path
from typing import Any

import pytest

from regioncap import keys
from regioncap.job import Job
from regioncap.jobs import catalogue
from regioncap.outputs import versions
from regioncap.outputs.edits import Edit
from regioncap.records import SCHEMA_VERSION
from regioncap.services import due
from regioncap.services.progress import Progress
from tests.simulation.broker import DirectSender
from tests.support.rig import Rig, wait_until, write_input

NEWER = SCHEMA_VERSION + 1
KINDS = ("render", "caption")


def _submit_newer(rig: Rig, file: Path) -> Job:
    """A job as a producer of the next version stores it."""
    job = rig.submit(file, queue=False)
    fields = json.loads(rig.store.get(keys.job_key(job.job)))
    assert fields["schema_version"] == SCHEMA_VERSION
    fields["schema_version"] = NEWER
    rig.store.put(keys.job_key(job.job), json.dumps(fields).encode())
    rig.queue(job)
    return job


def _records(rig: Rig, job: Job) -> list[dict[str, Any]]:
    rig.wait_finished(job)
    records = [json.loads(line) for line in rig.results(job).splitlines()]
    assert [record["index"] for record in records] == list(range(job.records))
    return records


def _without_version(records: list[dict[str, Any]]) -> list[dict[str, Any]]:
    return [{**record, "schema_version": 0} for record in records]


@pytest.mark.more
def test_workers_of_two_versions_side_by_side(
    rig: Rig, input_file: Path, expected: bytes, tmp_path: Path
) -> None:
    older = [rig.start("render"), rig.start("caption")]
    newer_job = _submit_newer(rig, write_input(tmp_path / "newer", 12))
    job = rig.submit(input_file)
    wait_until(lambda: b"this one reads up to" in older[0].log.read_bytes())
    # What they refuse does not keep them from what they can do.
    rig.check(job, expected)
    assert rig.done(newer_job) == 0

    for kind in ("render", "caption"):
        rig.start(kind, "tests.support.newer", NEWER_KIND=kind)
    records = _records(rig, newer_job)
    assert {record["schema_version"] for record in records} == {NEWER}
    # Now either version may draw a shard, and only the newer one may caption what the newer drew.
    mixed = rig.submit(input_file)
    assert _without_version(_records(rig, mixed)) == _without_version(
        [json.loads(line) for line in expected.splitlines()]
    )

    codes = {record["error"]["code"] for record in records if record["error"]}
    assert codes == {"image-missing", "no-usable-box"}  # as submitted; none is poison
    wait_until(lambda: not list(rig.redis.scan_iter("regioncap:*:attempts:*")))
    assert all(worker.process.poll() is None for worker in rig.workers)
    success = json.loads(rig.store.get(keys.success_key(newer_job.job)))
    assert success["schema_version"] == NEWER
    assert catalogue.load(rig.store, job.job).job == job.job


def test_workers_of_the_previous_version_leave_what_they_would_misread(
    rig: Rig, tmp_path: Path
) -> None:
    file = write_input(tmp_path / "in", 4)
    lines = [json.loads(line) for line in file.read_bytes().splitlines()]
    # To the previous version an empty list meant proposals.
    lines[0] = {"image": lines[0]["image"], "bbox": []}
    file.write_text("".join(json.dumps(line) + "\n" for line in lines))
    for kind in ("render", "caption"):
        rig.start(kind, "tests.support.older", OLDER_KIND=kind)
    job = rig.submit(file)
    wait_until(lambda: b"this one reads up to" in rig.workers[0].log.read_bytes())

    for kind in ("render", "caption"):
        rig.start(kind)

    first = _records(rig, job)[0]
    assert (first["error"], first["bbox"], first["regions"]) == (None, [], [])
    assert first["usage"]["requests"] == 0
    assert all(worker.process.poll() is None for worker in rig.workers)


@pytest.mark.more
def test_a_retry_that_the_version_before_began_is_gone_on_with(rig: Rig, tmp_path: Path) -> None:
    file = write_input(tmp_path / "in", 4)
    lines = [json.loads(line) for line in file.read_bytes().splitlines()]
    late = f"s3://{rig.settings.s3_bucket}/late.png"
    rig.store.delete("late.png")
    lines[0]["image"] = late
    file.write_text("".join(json.dumps(line) + "\n" for line in lines))
    rig.start("render")
    rig.start("caption")
    job = rig.submit(file)
    before = rig.check(job)
    assert before[0]["error"]["code"] == "image-missing"
    words = {1: Edit({1: "what a person wrote"}, by="a person")}
    versions.apply_edits(rig.store, Progress(rig.redis, job.job), job, words)
    rig.store.put("late.png", (tmp_path / "in" / "001.png").read_bytes())

    # As that version did it: one object a shard, of no token, which names no edits; its producer
    # dies before it has queued anything.
    retry_key = keys.prefix(job.job, "retry") + "part-00000.json"
    rig.store.put(retry_key, b'{"indices":[0],"flagged":[1,2]}')
    rig.store.put(keys.open_key(job.job), b"")
    rig.store.delete(keys.success_key(job.job))
    rig.redis.flushall()

    after = rig.check(job)
    assert after[0]["error"] is None
    assert after[1]["regions"][0]["caption"] == "what a person wrote"
    assert after[2:] == before[2:]
    assert not list(rig.store.list_keys(keys.prefix(job.job, "retry")))


@pytest.mark.more
def test_jobs_that_take_turns_beside_workers_and_messages_of_the_version_before(
    rig: Rig, input_file: Path, expected: bytes
) -> None:
    """That version sends all shards at once, and feeds no queue."""
    older = [rig.start(kind, "tests.support.direct", DIRECT_KIND=kind) for kind in KINDS]
    # Nobody else is up: what does not follow, its janitor misses and sends.
    rig.check(rig.submit(input_file), expected)
    begun = rig.submit(input_file, queue=False)
    DirectSender(rig.redis, lambda: str(uuid.uuid4())).render(begun, range(begun.shards))
    rig.wait_for_parts(begun)

    for kind in KINDS:
        rig.start(kind)
    beside = rig.submit(input_file)
    rig.check(begun, expected)
    rig.check(beside, expected)
    for worker in older:
        worker.terminate()
    rig.check(rig.submit(input_file), expected)
    assert not due.jobs(rig.redis)
