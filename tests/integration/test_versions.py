"""Corrected captions in a real store: the new version, the old one, and what breaks off."""

from __future__ import annotations

import hashlib
from typing import Any

import pytest

from regioncap import keys
from regioncap.errors import StoreError, UsageError
from regioncap.job import Job, Summary, now
from regioncap.jobs.results import parse_part, summarize
from regioncap.jobs.success import SuccessWriter
from regioncap.outputs.edits import Edit, version_of
from regioncap.outputs.versions import apply_edits
from regioncap.records import dump_lines
from regioncap.services.broker import connect
from regioncap.services.progress import Progress
from regioncap.services.store import Store
from regioncap.settings import JobSettings, load_settings
from tests.support.exported import region, result
from tests.support.success import load_success

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
    writer = SuccessWriter()
    for shard in range(2):
        part = dump_lines(records[shard * SHARD : shard * SHARD + SHARD])
        key = keys.part_key(made.job, "results", shard)
        store.put(key, part)
        writer.add(key, summarize(part))
    success = Summary(job=made.job, finished=now(), counts=dict(writer.counts))
    store.put(keys.success_key(made.job), writer.text(success))
    return made


@pytest.fixture
def progress(stack_settings: dict[str, str], job: Job) -> Progress:
    return Progress(connect(load_settings(**stack_settings)), job.job)


def records_at(store: Store, prefix: str) -> list[dict[str, Any]]:
    return [
        record
        for shard in range(2)
        for record in parse_part(store.get(f"{prefix}part-{shard:05d}.jsonl"))
    ]


def version_at(store: Store, job: Job, number: int) -> list[dict[str, Any]]:
    """An earlier version, whose parts lie there or in a later one, or are the results."""
    found = []
    for shard in range(job.shards):
        name = keys.part_name(shard)
        places = [f"{keys.version_prefix(job.job, n)}{name}" for n in range(number, number + 9)]
        parts = map(store.find, [*places, keys.part_key(job.job, "results", shard)])
        found += parse_part(next(part for part in parts if part is not None))
    return found


def current(store: Store, job: Job) -> list[dict[str, Any]]:
    return records_at(store, keys.prefix(job.job, "results"))


def test_corrected_captions_become_the_results(store: Store, progress: Progress, job: Job) -> None:
    outcome = apply_edits(store, progress, job, {0: Edit({1: "a", 2: "better"}, "ada")})

    first, second, _ = current(store, job)
    assert [each["caption"] for each in first["regions"]] == ["a", "better"]
    assert first["answer"] == "<region1>: a\n<region2>: better"
    assert first["edited"]["by"] == "ada"
    assert first["edited"]["regions"] == [2]
    assert second["edited"] is None
    assert (outcome.records, outcome.captions) == (1, 1)
    assert outcome.kept_as == store.uri(keys.version_prefix(job.job, 1))


def test_old_version_is_kept_whole(store: Store, progress: Progress, job: Job) -> None:
    before = current(store, job)
    success_before = store.get(keys.success_key(job.job))

    apply_edits(store, progress, job, {0: Edit({1: "x"})})
    once = current(store, job)
    apply_edits(store, progress, job, {0: Edit({2: "y"}), 2: Edit({1: "z"})})

    assert version_at(store, job, 1) == before
    assert store.get(keys.version_prefix(job.job, 1) + "_SUCCESS") == success_before
    assert version_at(store, job, 2) == once
    assert not store.exists(keys.version_prefix(job.job, 1) + keys.part_name(1))
    assert [each["caption"] for each in current(store, job)[0]["regions"]] == ["x", "y"]
    assert current(store, job)[0]["edited"]["regions"] == [1, 2]


def test_success_tells_version_and_hashes_of_the_new_parts(
    store: Store, progress: Progress, job: Job
) -> None:
    apply_edits(store, progress, job, {2: Edit({1: "seen by a person"})})

    success, parts = load_success(store.get(keys.success_key(job.job)))
    assert success.version == 2
    assert len(parts) == job.shards
    for part in parts:
        assert part["sha256"] == hashlib.sha256(store.get(part["key"])).hexdigest()
    assert success.counts["failed"] == 0
    assert success.counts["regions_ok"] == 4
    assert current(store, job)[2]["error"] is None
    assert current(store, job)[2]["regions"][0]["status"] == "ok"


def test_captions_as_they_were_change_nothing(store: Store, progress: Progress, job: Job) -> None:
    outcome = apply_edits(store, progress, job, {0: Edit({1: "a", 2: "b"}, "ada")})

    assert outcome.kept_as is None
    assert store.find(keys.version_prefix(job.job, 1) + "_SUCCESS") is None


def test_an_import_that_broke_off_is_gone_on_with(
    store: Store, progress: Progress, job: Job, monkeypatch: pytest.MonkeyPatch
) -> None:
    before = current(store, job)
    edits = {0: Edit({1: "x"}), 2: Edit({1: "y"})}
    put, second_part = store.put_matching, keys.part_key(job.job, "results", 1)

    def failing(key: str, *rest: Any) -> str | None:
        if key == second_part:
            raise StoreError("gone")
        return put(key, *rest)

    monkeypatch.setattr(store, "put_matching", failing)
    with pytest.raises(StoreError):
        apply_edits(store, progress, job, edits)
    monkeypatch.undo()
    assert list(store.list_keys(keys.open_key(job.job)))  # a janitor will look at it
    outcome = apply_edits(store, progress, job, edits)

    assert outcome.captions == 1  # the other was done
    assert version_at(store, job, 1) == before
    assert current(store, job)[0]["regions"][0]["caption"] == "x"
    assert current(store, job)[2]["regions"][0]["caption"] == "y"
    assert not list(store.list_keys(keys.open_key(job.job)))


def test_two_imports_at_once(
    store: Store, progress: Progress, job: Job, monkeypatch: pytest.MonkeyPatch
) -> None:
    """The second comes right before the first one's write."""
    put, first_part = store.put_matching, keys.part_key(job.job, "results", 0)

    def overtaken(key: str, *rest: Any) -> str | None:
        if key == first_part:
            monkeypatch.undo()
            apply_edits(store, progress, job, {0: Edit({1: "b's"}), 1: Edit({1: "b's other"})})
        return put(key, *rest)

    monkeypatch.setattr(store, "put_matching", overtaken)
    apply_edits(store, progress, job, {0: Edit({1: "a's"})})

    first, second, _ = current(store, job)
    assert first["regions"][0]["caption"] == "a's"
    assert second["regions"][0]["caption"] == "b's other"
    assert version_at(store, job, 2)[0]["regions"][0]["caption"] == "b's"
    success, parts = load_success(store.get(keys.success_key(job.job)))
    assert success.version == 3
    for part in parts:
        assert part["sha256"] == hashlib.sha256(store.get(part["key"])).hexdigest()


@pytest.mark.parametrize("edits", [{3: Edit({1: "x"})}, {-1: Edit({1: "x"})}, {1: Edit({2: "x"})}])
def test_edits_of_what_is_not_there_change_nothing(
    store: Store, progress: Progress, job: Job, edits: dict[int, Edit]
) -> None:
    before = current(store, job)

    with pytest.raises(UsageError):
        apply_edits(store, progress, job, {0: Edit({1: "x"})} | edits)

    assert current(store, job) == before


def test_unfinished_job_is_refused(store: Store, progress: Progress, job: Job) -> None:
    store.delete(keys.success_key(job.job))
    store.delete(keys.part_key(job.job, "results", 1))

    with pytest.raises(UsageError) as caught:
        apply_edits(store, progress, job, {0: Edit({1: "x"})})

    assert caught.value.code == "not-finished"


def edits_of(record: dict[str, Any], captions: dict[int, str], by: str) -> Edit:
    """What is read of a file of results in which someone wrote these captions."""
    whole = {each["region"]: each["caption"] for each in record["regions"] if each["caption"]}
    return Edit(whole | captions, by, version_of(record))


def test_who_comes_second_takes_nothing_back_of_what_the_first_wrote(
    store: Store, progress: Progress, job: Job
) -> None:
    """Both have the results as files, in which all captions stand."""
    before = parse_part(store.get(keys.part_key(job.job, "results", 0)))[0]
    for by, captions in (("ada", {1: "ada's"}), ("bob", {2: "bob's"})):
        changes = apply_edits(store, progress, job, {0: edits_of(before, captions, by)})
    assert (changes.captions, changes.outdated) == (1, 1)

    now_ = parse_part(store.get(keys.part_key(job.job, "results", 0)))[0]
    assert [each["caption"] for each in now_["regions"]] == ["ada's", "bob's"]
    assert now_["edited"]["regions"] == [1, 2]

    # One who has seen what stands takes it back; one who goes on with his own file adds to it.
    taken_back = apply_edits(store, progress, job, {0: edits_of(now_, {1: "a"}, "bob")})
    assert (taken_back.captions, taken_back.outdated) == (1, 0)
    apply_edits(store, progress, job, {0: edits_of(before, {1: "newer", 2: "bob's"}, "bob")})
    last = parse_part(store.get(keys.part_key(job.job, "results", 0)))[0]
    assert [each["caption"] for each in last["regions"]] == ["newer", "bob's"]


def test_one_caption_is_enough_for_a_record_that_had_failed(
    store: Store, progress: Progress, job: Job
) -> None:
    box = [1, 2, 3, 4]
    failed = result(
        2, [region(1, box, None), region(2, box, None)],
        error={"code": "no-caption", "message": "no region", "stage": "caption"},
    )  # fmt: skip
    part = dump_lines([failed])
    store.put(keys.part_key(job.job, "results", 1), part)
    writer = SuccessWriter()
    for shard in range(2):
        key = keys.part_key(job.job, "results", shard)
        writer.add(key, summarize(store.get(key)))
    success = Summary(job=job.job, finished=now(), counts=dict(writer.counts))
    store.put(keys.success_key(job.job), writer.text(success))

    apply_edits(store, progress, job, {2: Edit({2: "a person's"}, "ada")})

    [line] = parse_part(store.get(keys.part_key(job.job, "results", 1)))
    assert (line["error"], line["answer"]) == (None, "<region2>: a person's")
