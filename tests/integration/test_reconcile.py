"""Reconciling: whatever the queue and the progress have lost follows from the store."""

from __future__ import annotations

from collections.abc import Iterator
from pathlib import Path

import pytest
import redis

from regioncap import keys
from regioncap.job import Job
from regioncap.jobs import catalogue, finish
from regioncap.jobs.cancel import cancel
from regioncap.jobs.janitor import Janitor
from regioncap.jobs.reconcile import Reconciled, reconcile
from regioncap.jobs.status import job_status
from regioncap.services import due
from regioncap.services.backlog import read_backlog
from regioncap.services.broker import connect
from regioncap.services.sender import Sender
from regioncap.settings import Settings, load_settings
from tests.support.stages import Stages, empty_redis, own_stages, two_shards


@pytest.fixture(scope="module")
def settings(stack_settings: dict[str, str]) -> Settings:
    return load_settings(**stack_settings | {"s3_bucket": "reconcile"})


@pytest.fixture(scope="module")
def stages(settings: Settings) -> Iterator[Stages]:
    with own_stages(settings) as made:
        yield made


@pytest.fixture
def client(settings: Settings) -> Iterator[redis.Redis]:
    with empty_redis(settings) as client:
        yield client


@pytest.fixture
def sender(settings: Settings) -> Sender:
    return Sender(connect(settings), settings)


@pytest.fixture
def job(stages: Stages, tmp_path: Path, client: redis.Redis) -> Iterator[Job]:
    """Two shards, of which Redis knows nothing."""
    with two_shards(stages, tmp_path) as made:
        yield made


class Mender:
    """Reconciles one job as often as it is told."""

    def __init__(self, stages: Stages, sender: Sender, job: Job) -> None:
        self.stages, self.sender, self.job = stages, sender, job
        self.progress = stages.progress(job.job)

    def __call__(self) -> Reconciled:
        return reconcile(self.stages.store, self.progress, self.sender, self.job)

    def do(self, shard: int, *stages: str) -> None:
        """Does stages of a shard, as workers do."""
        for stage in stages:
            getattr(self.stages, stage).run(self.job.job, shard)


@pytest.fixture
def mend(stages: Stages, sender: Sender, job: Job) -> Mender:
    return Mender(stages, sender, job)


def test_what_was_never_queued_is_queued_once(mend: Mender, job: Job, client: redis.Redis) -> None:
    assert mend() == Reconciled("open", render=[0, 1], caption=[])
    assert read_backlog(client, {"caption"}).render == {(job.job, 0), (job.job, 1)}
    assert mend() == Reconciled("open", render=[], caption=[])


def test_each_shard_goes_on_from_its_last_part(mend: Mender, client: redis.Redis) -> None:
    mend.do(0, "render")
    client.flushdb()

    assert mend() == Reconciled("open", render=[1], caption=[0])
    assert mend.progress.rendered() == 1


def test_parts_that_redis_has_forgotten_are_counted_again(
    mend: Mender, client: redis.Redis
) -> None:
    mend.do(0, "render", "caption")
    counts = mend.progress.counts()
    client.flushdb()

    assert mend() == Reconciled("open", render=[1], caption=[])
    assert mend.progress.done() == {0}
    assert mend.progress.counts() == counts


def test_parts_that_the_store_has_not_are_made_again(mend: Mender, job: Job) -> None:
    mend.do(0, "render", "caption")
    mend.stages.store.delete(keys.part_key(job.job, "results", 0))
    mend.stages.store.delete(keys.part_key(job.job, "rendered", 0))

    assert mend() == Reconciled("open", render=[0, 1], caption=[])
    assert mend.progress.done() == set()


def test_a_job_without_its_end_is_ended(mend: Mender, job: Job) -> None:
    for shard in range(2):
        mend.do(shard, "render", "caption")
    store = mend.stages.store
    whole = catalogue.find_success(store, job.job)
    assert whole is not None
    store.delete(keys.success_key(job.job))
    store.put(keys.open_key(job.job), b"")

    assert mend() == Reconciled("finished", [], [])
    again = catalogue.find_success(store, job.job)
    assert again is not None
    assert again.counts == whole.counts
    assert not store.exists(keys.open_key(job.job))


def test_a_cancelled_job_keeps_its_counts_where_redis_has_lost_them(
    mend: Mender, job: Job, client: redis.Redis
) -> None:
    mend.do(0, "render", "caption")
    cancel(mend.stages.store, mend.progress, job)
    noted = [key for key in client.keys(f"regioncap:{job.job}*") if client.type(key) == "hash"]
    assert noted
    assert all(client.ttl(key) > 0 for key in noted), "nobody else would remove them"
    client.flushdb()
    mend()

    status = job_status(mend.stages.store, client, job)
    assert (status.state, status.shards_done, status.done) == ("cancelled", 1, 1)


def test_how_jobs_looked_is_forgotten_with_them(
    mend: Mender, job: Job, client: redis.Redis
) -> None:
    janitor(mend, client).round()
    assert client.hkeys("regioncap:janitor:seen") == [job.job]
    cancel(mend.stages.store, mend.progress, job)
    janitor(mend, client).round()
    assert not client.exists("regioncap:janitor:seen")


def test_a_cancelled_job_is_left_alone(mend: Mender, job: Job, client: redis.Redis) -> None:
    cancel(mend.stages.store, mend.progress, job)

    assert mend() == Reconciled("cancelled", [], [])
    assert not read_backlog(client, {"caption"}).render


def test_a_job_that_lacks_a_part_does_not_end(mend: Mender, job: Job) -> None:
    mend.do(0, "render", "caption")

    assert finish.finish(mend.stages.store, mend.progress, job) is None
    assert not mend.stages.store.exists(keys.success_key(job.job))


def janitor(mend: Mender, client: redis.Redis, patience_s: float = 0) -> Janitor:
    return Janitor(mend.stages.store, client, mend.sender, patience_s)


def test_the_janitor_waits_for_who_makes_progress(
    mend: Mender, job: Job, client: redis.Redis
) -> None:
    looking = janitor(mend, client)
    looking.round()  # sees it for the first time
    mend.do(0, "render")
    looking.round()
    assert not read_backlog(client, {"caption"}).render

    looking.round()  # it looks as before

    assert read_backlog(client, {"caption"}).render == {(job.job, 1)}
    assert read_backlog(client, {"caption"}).caption == {(job.job, 0)}


def test_the_janitor_has_patience(mend: Mender, client: redis.Redis) -> None:
    patient = janitor(mend, client, patience_s=3600)
    for _ in range(3):
        patient.round()

    assert not read_backlog(client, {"caption"}).render


def test_what_one_janitor_has_seen_another_goes_on_with(
    mend: Mender, job: Job, client: redis.Redis
) -> None:
    janitor(mend, client).round()
    janitor(mend, client).round()

    assert len(read_backlog(client, {"caption"}).render) == job.shards


@pytest.mark.parametrize("shards", [[0, 1], [0]], ids=["all that is left", "not all"])
def test_a_job_that_lost_its_turn_gets_it_again(
    mend: Mender,
    job: Job,
    client: redis.Redis,
    monkeypatch: pytest.MonkeyPatch,
    shards: list[int],
) -> None:
    due.note(client, job, "render", shards, 10)
    client.delete(due.turns_key("render"))
    reconciled: list[str] = []
    looking = janitor(mend, client)
    monkeypatch.setattr(looking, "_reconcile", lambda job, **_: reconciled.append(job.job))
    looking.round()
    looking.round()

    if len(shards) == job.shards:  # nothing of it can be lost, so its parts are not looked at
        assert read_backlog(client, set()).render == {(job.job, 0), (job.job, 1)}
        assert reconciled == []
    else:
        assert reconciled == [job.job]


def test_what_is_due_of_a_job_that_has_ended_follows_no_more(
    mend: Mender, job: Job, client: redis.Redis
) -> None:
    due.note(client, job, "render", [1], 10)
    mend.stages.store.delete(keys.open_key(job.job))

    janitor(mend, client).round()

    assert due.jobs(client) == set()
    assert not read_backlog(client, set()).render


def test_the_janitor_feeds_where_there_are_no_workers(
    mend: Mender, job: Job, client: redis.Redis
) -> None:
    due.note(client, job, "render", [0], 10)

    janitor(mend, client).round()

    assert read_backlog(client, set()).render == {(job.job, 0)}


def test_a_janitor_that_stands_by_makes_rounds_only_where_no_other_does(
    mend: Mender, job: Job, client: redis.Redis
) -> None:
    def turn(*, stands_by: bool) -> None:
        client.delete("regioncap:janitor")  # that of the one before
        looking = Janitor(mend.stages.store, client, mend.sender, 0.0, stands_by=stands_by)
        looking.turn()

    turn(stands_by=False)
    for _ in range(3):
        turn(stands_by=True)
    assert not read_backlog(client, {"caption"}).render

    client.delete("regioncap:janitor:kept")
    turn(stands_by=True)
    assert len(read_backlog(client, {"caption"}).render) == job.shards


def test_one_janitor_makes_a_round_at_a_time(mend: Mender, client: redis.Redis) -> None:
    for _ in range(3):  # the second would queue the job, and finds the first one's lock
        janitor(mend, client).turn()

    assert not read_backlog(client, {"caption"}).render


def test_a_job_that_cannot_be_read_stops_no_janitor(
    mend: Mender, job: Job, client: redis.Redis
) -> None:
    broken = keys.new_job_id()
    mend.stages.store.put(keys.open_key(broken), b"")
    mend.stages.store.put(keys.job_key(broken), b"{")
    for _ in range(2):
        janitor(mend, client).round()

    assert len(read_backlog(client, {"caption"}).render) == job.shards
