"""A finished job that is changed: a person's words stay, and nothing is given up by accident."""

from __future__ import annotations

from datetime import datetime, timedelta
from typing import Any, Literal

import pytest

from regioncap import keys
from regioncap.errors import UsageError
from regioncap.job import Job, now
from regioncap.jobs import catalogue, retry
from regioncap.jobs.cancel import cancel
from regioncap.jobs.finish import finish
from regioncap.jobs.results import parse_part
from regioncap.jobs.status import job_status
from regioncap.outputs.edits import Edit
from regioncap.outputs.versions import apply_edits
from regioncap.parallel import Runtime
from regioncap.records import dump_lines
from regioncap.services.progress import Progress
from regioncap.services.store import Store
from regioncap.settings import JobSettings, Settings
from tests.simulation import s3, valkey
from tests.simulation.gate import Gate
from tests.support.exported import region, result

BOX = [1, 2, 3, 4]


class At(Runtime):
    """The clock stands."""

    def __init__(self, moment: datetime) -> None:
        self._moment = moment

    def now(self) -> datetime:
        return self._moment


FAILED = {"code": "engine-request", "message": "no", "stage": "caption"}


@pytest.fixture
def store() -> Store:
    server = s3.with_bucket()
    return s3.store_of(server, Settings())


@pytest.fixture
def job(store: Store) -> Job:
    """A job of two records in one shard; the first has failed."""
    settings = JobSettings(shard_size=2)
    made = Job(job=keys.new_job_id(), created=now(), records=2, shards=1, settings=settings)
    catalogue.save(store, made)
    lines = [
        result(0, [region(1, BOX, None)], error=FAILED),
        result(1, [region(1, BOX, "a machine's")]),
    ]
    store.put(keys.part_key(made.job, "results", 0), dump_lines(lines))
    return made


@pytest.fixture
def progress(store: Store, job: Job) -> Progress:
    made = Progress(valkey.Client(valkey.Server(Gate().now_s)), job.job)
    assert finish(store, made, job) is not None
    return made


def lines(store: Store, job: Job) -> list[dict[str, Any]]:
    return parse_part(store.get(keys.part_key(job.job, "results", 0)))


@pytest.mark.parametrize("first", ["mark", "retry"])
def test_who_wants_refuted_captions_anew_gets_them_beside_who_wants_them_marked(
    store: Store, job: Job, first: Literal["mark", "retry"]
) -> None:
    second: Literal["mark", "retry"] = "retry" if first == "mark" else "mark"
    for token, how in (("aaa", first), ("bbb", second)):
        wish = retry.Again(indices=set(), verify={0}, verify_as=how)
        store.put(keys.retry_key(job.job, 0, token), wish.model_dump_json().encode())
    found = retry.find(store, job.job, 0)
    assert found is not None
    assert (found.verify, found.verify_as, len(found.keys)) == ({0}, "retry", 2)


def test_what_fails_for_what_it_holds_runs_again_only_when_told(store: Store, job: Job) -> None:
    held = {"code": "no-usable-box", "message": "no", "stage": "render"}
    late = {"code": "image-missing", "message": "no", "stage": "render"}
    part = [result(index, [], error=error) for index, error in enumerate((held, late))]
    store.put(keys.part_key(job.job, "results", 0), dump_lines(part))
    progress = Progress(valkey.Client(valkey.Server(Gate().now_s)), job.job)
    assert finish(store, progress, job) is not None
    status = job_status(store, None, job)
    assert (status.failed, status.failed_as_given) == (2, 1)

    outlook = retry.Outlook()
    chosen = retry.begin(store, progress, job, outlook=outlook)
    assert (chosen[0].indices, outlook.same) == ({1}, {"no-usable-box": 1})
    chosen = retry.begin(store, progress, job, as_given=True)
    assert chosen[0].indices == {0, 1}


def test_what_a_person_wrote_is_run_again_only_when_told(
    store: Store, progress: Progress, job: Job
) -> None:
    apply_edits(store, progress, job, {0: Edit({1: "a person's"}), 1: Edit({1: "hers"})})
    assert [line["error"] for line in lines(store, job)] == [None, None]

    assert retry.begin(store, progress, job, {0, 1}) == {}
    chosen = retry.begin(store, progress, job, {1}, edited=True)

    assert chosen[0].flagged == {1}
    again = retry.find(store, job.job, 0)
    assert again is not None
    assert [again.wants(line) for line in lines(store, job)] == [False, True]
    kept = store.get(keys.version_prefix(job.job, 2) + keys.part_name(0))
    assert [line["regions"][0]["caption"] for line in parse_part(kept)] == ["a person's", "hers"]


def test_words_that_came_meanwhile_stay(store: Store, progress: Progress, job: Job) -> None:
    """An edit that was under way when the retry began is in the part before the new captions."""
    retry.begin(store, progress, job, {1})
    again = retry.find(store, job.job, 0)
    assert again is not None
    edited = lines(store, job)
    edited[0] |= {
        "error": None,
        "edited": {"at": "2026-11-26T10:00:00", "by": None, "regions": [1]},
    }
    part = dump_lines(edited)

    new, placed = retry.merged(part, {n: result(n, [region(1, BOX, "new")]) for n in (0, 1)}, again)

    assert placed == {1}
    assert parse_part(new)[0] == edited[0]
    assert parse_part(new)[1]["regions"][0]["caption"] == "new"


def test_cancelling_a_retry_leaves_the_job_finished(
    store: Store, progress: Progress, job: Job
) -> None:
    before = store.get(keys.part_key(job.job, "results", 0))
    assert set(retry.begin(store, progress, job)) == {0}
    assert catalogue.find_success(store, job.job) is None

    assert cancel(store, progress, job) == "retry cancelled"

    assert catalogue.find_success(store, job.job) is not None
    assert store.get(keys.part_key(job.job, "results", 0)) == before
    assert not list(store.list_keys(keys.OPEN))
    assert not store.exists(keys.cancelled_key(job.job))
    assert cancel(store, progress, job) == "finished"
    assert set(retry.begin(store, progress, job)) == {0}  # and it can be retried again


def test_a_cancelled_job_is_not_retried(store: Store, progress: Progress, job: Job) -> None:
    store.delete(keys.success_key(job.job))
    store.delete(keys.part_key(job.job, "results", 0))
    assert cancel(store, progress, job) == "cancelled"

    with pytest.raises(UsageError) as caught:
        retry.begin(store, progress, job)

    assert caught.value.code == "cancelled"


def test_the_late_end_of_a_retry_removes_no_later_one(
    store: Store, progress: Progress, job: Job
) -> None:
    retry.begin(store, progress, job)
    first = retry.find(store, job.job, 0)
    assert first is not None
    retry.end(store, first)
    finish(store, progress, job)
    retry.begin(store, progress, job)

    retry.end(store, first)  # of a worker that slept

    assert retry.pending(store, job.job) == {0}
    assert finish(store, progress, job) is None


def test_a_wish_of_an_earlier_version_is_seen(store: Store, progress: Progress, job: Job) -> None:
    store.put(keys.prefix(job.job, "retry") + "part-00000.json", b'{"indices": [0]}')

    again = retry.find(store, job.job, 0)

    assert retry.pending(store, job.job) == {0}
    assert again is not None
    assert again.indices == {0}
    retry.end(store, again)
    assert retry.pending(store, job.job) == set()


def test_all_records_with_a_caption_are_asked_back_and_no_other(
    store: Store, progress: Progress, job: Job
) -> None:
    finish(store, progress, job)

    wishes = retry.begin(store, progress, job, verify="retry")

    assert {shard: (wish.verify, wish.indices) for shard, wish in wishes.items()} == {
        0: ({1}, set())
    }
    found = retry.find(store, job.job, 0)
    assert found is not None
    assert (found.verify, found.verify_as) == ({1}, "retry")
    failed, fine = parse_part(store.get(keys.part_key(job.job, "results", 0)))
    assert not found.wants(failed)
    assert not found.wants(fine)


def test_a_verdict_is_on_the_words_that_were_asked_back() -> None:
    lines = [result(n, [region(1, BOX, f"caption {n}")]) for n in range(3)]
    made = {
        n: line | {"regions": [line["regions"][0] | {"verified": True}]}
        for n, line in enumerate(lines)
    }
    before = dict(enumerate(lines))
    # Somebody corrects one of them meanwhile.
    lines[1] = lines[1] | {"regions": [region(1, BOX, "a person's")]}

    part, placed = retry.with_verdicts(dump_lines(lines), made, before)

    assert placed == {0, 2}
    verdicts = [line["regions"][0].get("verified") for line in parse_part(part)]
    assert verdicts == [True, None, True]
    # Done twice, nothing is left to do.
    assert retry.with_verdicts(part, made, before) == (part, set())


def test_a_correction_takes_the_verdict_away(store: Store, progress: Progress, job: Job) -> None:
    key = keys.part_key(job.job, "results", 0)
    lines = parse_part(store.get(key))
    lines[1]["regions"][0] |= {"verified": False, "verified_as": 2}
    store.put(key, dump_lines(lines))
    finish(store, progress, job)

    apply_edits(store, progress, job, {1: Edit({1: "a person's"})})

    corrected = parse_part(store.get(key))[1]["regions"][0]
    assert (corrected["verified"], corrected["verified_as"]) == (None, None)


def test_idle_time_before_a_change_does_not_count_as_work(
    store: Store, progress: Progress, job: Job, monkeypatch: pytest.MonkeyPatch
) -> None:
    first = catalogue.find_success(store, job.job)
    assert first is not None
    assert first.worked_s is not None
    began = job.created + timedelta(days=1)
    real = Store.modified

    def modified(store: Store, key: str) -> datetime | None:
        """The version is kept when the change begins."""
        return real(store, key) and (began if "/versions/" in key else real(store, key))

    monkeypatch.setattr(Store, "modified", modified)
    late = At(began + timedelta(seconds=7))

    apply_edits(store, progress, job, {1: Edit({1: "hers"})}, runtime=late)

    second = catalogue.find_success(store, job.job)
    assert second is not None
    assert second.finished == began + timedelta(seconds=7)
    assert second.worked_s == pytest.approx(first.worked_s + 7)
