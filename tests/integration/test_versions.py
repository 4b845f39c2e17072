"""Corrected captions in a real store: the new version, the old one, and what breaks off."""

from __future__ import annotations

import hashlib
from typing import Any

import pytest

from regioncap import keys
from regioncap.errors import StoreError, UsageError
from regioncap.job import Job, Summary, now
from regioncap.jobs.results import parse_part, summarize
from regioncap.outputs.edits import Edit
from regioncap.outputs.versions import apply_edits
from regioncap.records import dump_lines
from regioncap.services.store import Store
from regioncap.settings import JobSettings, load_settings
from tests.support.exported import region, result
from tests.support.success import dump_success, load_success

SHARD = 2


@pytest.fixture
def store(stack_settings: dict[str, str]) -> Store:
    return Store(load_settings(**stack_settings))


@pytest.fixture
def job(store: Store) -> Job:
    """A finished job of three records in two shards; the last has no caption."""
    store.ensure_bucket()
    made = Job(
        job=keys.new_job_id(),
        created=now(),
        records=3,
        shards=2,
        settings=JobSettings(shard_size=SHARD),
    )
    box = [1, 2, 3, 4]
    no_caption = {"code": "no-caption", "message": "no region", "stage": "caption"}
    records = [
        result(0, [region(1, box, "a"), region(2, box, "b")]),
        result(1, [region(1, box, "c")]),
        result(2, [region(1, box, None)], error=no_caption),
    ]
    parts = []
    for shard in range(2):
        part = dump_lines(records[shard * SHARD : shard * SHARD + SHARD])
        key = keys.part_key(made.job, "results", shard)
        store.put(key, part)
        parts.append({"key": key, "sha256": summarize(part)["sha256"]})
    success = Summary(job=made.job, finished=now(), counts={"records": 3})
    store.put(keys.success_key(made.job), dump_success(success, parts))
    return made


def records_at(store: Store, prefix: str) -> list[dict[str, Any]]:
    return [
        record
        for shard in range(2)
        for record in parse_part(store.get(f"{prefix}part-{shard:05d}.jsonl"))
    ]


def current(store: Store, job: Job) -> list[dict[str, Any]]:
    return records_at(store, keys.prefix(job.job, "results"))


def test_corrected_captions_become_the_results(store: Store, job: Job) -> None:
    outcome = apply_edits(store, job, {0: Edit({1: "a", 2: "better"}, "ada")})

    first, second, _ = current(store, job)
    assert [each["caption"] for each in first["regions"]] == ["a", "better"]
    assert first["edited"]["by"] == "ada"
    assert first["edited"]["regions"] == [2]
    assert second["edited"] is None
    assert (outcome.records, outcome.captions) == (1, 1)
    assert outcome.kept_as == store.uri(keys.version_prefix(job.job, 1))


def test_old_version_is_kept_whole(store: Store, job: Job) -> None:
    before = current(store, job)
    success_before = store.get(keys.success_key(job.job))

    apply_edits(store, job, {0: Edit({1: "x"})})
    once = current(store, job)
    apply_edits(store, job, {0: Edit({2: "y"}), 1: Edit({1: "z"})})

    assert records_at(store, keys.version_prefix(job.job, 1)) == before
    assert store.get(keys.version_prefix(job.job, 1) + "_SUCCESS") == success_before
    assert records_at(store, keys.version_prefix(job.job, 2)) == once
    assert [each["caption"] for each in current(store, job)[0]["regions"]] == ["x", "y"]
    assert current(store, job)[0]["edited"]["regions"] == [1, 2]


def test_success_tells_version_and_hashes_of_the_new_parts(store: Store, job: Job) -> None:
    apply_edits(store, job, {2: Edit({1: "seen by a person"})})

    success, parts = load_success(store.get(keys.success_key(job.job)))
    assert success.version == 2
    assert len(parts) == job.shards
    for part in parts:
        assert part["sha256"] == hashlib.sha256(store.get(part["key"])).hexdigest()
    assert success.counts["failed"] == 0
    assert success.counts["regions_ok"] == 4
    assert current(store, job)[2]["error"] is None
    assert current(store, job)[2]["regions"][0]["status"] == "ok"


def test_captions_as_they_were_change_nothing(store: Store, job: Job) -> None:
    outcome = apply_edits(store, job, {0: Edit({1: "a", 2: "b"}, "ada")})

    assert outcome.kept_as is None
    assert store.find(keys.version_prefix(job.job, 1) + "_SUCCESS") is None


def test_import_that_broke_off_is_done_again_from_the_kept_copy(
    store: Store, job: Job, monkeypatch: pytest.MonkeyPatch
) -> None:
    before = current(store, job)
    edits = {0: Edit({1: "x"}), 2: Edit({1: "y"})}
    put, second_part = store.put, keys.part_key(job.job, "results", 1)

    def failing(key: str, *rest: Any) -> None:
        if key == second_part:
            raise StoreError("gone")
        put(key, *rest)

    monkeypatch.setattr(store, "put", failing)
    with pytest.raises(StoreError):
        apply_edits(store, job, edits)
    monkeypatch.undo()
    outcome = apply_edits(store, job, edits)

    assert outcome.captions == 2
    assert records_at(store, keys.version_prefix(job.job, 1)) == before
    assert store.find(keys.version_prefix(job.job, 2) + "_SUCCESS") is None
    assert current(store, job)[0]["regions"][0]["caption"] == "x"
    assert current(store, job)[2]["regions"][0]["caption"] == "y"


@pytest.mark.parametrize("edits", [{3: Edit({1: "x"})}, {-1: Edit({1: "x"})}, {1: Edit({2: "x"})}])
def test_edits_of_what_is_not_there_change_nothing(
    store: Store, job: Job, edits: dict[int, Edit]
) -> None:
    before = current(store, job)

    with pytest.raises(UsageError):
        apply_edits(store, job, {0: Edit({1: "x"})} | edits)

    assert current(store, job) == before


def test_unfinished_job_is_refused(store: Store, job: Job) -> None:
    store.delete(keys.success_key(job.job))

    with pytest.raises(UsageError) as caught:
        apply_edits(store, job, {0: Edit({1: "x"})})

    assert caught.value.code == "not-finished"
