"""Who pauses a job at its limit of GPU time, and what is known of it where Redis forgets."""

from __future__ import annotations

from collections.abc import Callable
from typing import Any

import pytest
import redis

from regioncap import keys
from regioncap.errors import QueueError, RegionCapError, UsageError
from regioncap.job import Job
from regioncap.jobs import budgets, catalogue
from regioncap.jobs.budgets import Budget, Purse
from regioncap.records import dump_lines
from regioncap.services import due
from regioncap.services.spending import Spending
from regioncap.services.store import Store
from regioncap.settings import Settings
from tests.simulation import s3, valkey
from tests.simulation.gate import Gate
from tests.support.jobs import a_job, result

JOB = "20260101-000000-aaaaaa"


class Switch(Gate):
    """What Redis is asked through; turned off, nobody reaches it."""

    is_off = False

    def enter(self, request: str) -> None:
        if self.is_off:
            raise redis.exceptions.ConnectionError(request)


class Place:
    """A store and a Redis in memory, and a job whose limit is a second."""

    def __init__(self) -> None:
        self.server = s3.with_bucket()
        #: Keys of the store in the order in which they were written.
        self.written: list[str] = []
        self.on_put: Callable[[str], object] = lambda _: None
        self.server.on_put = self._note
        self.store: Store = s3.store_of(self.server, Settings())
        self.switch = Switch()
        self.redis = valkey.Client(valkey.Server(lambda: 0.0), self.switch)
        self.job: Job = a_job(JOB, 3, max_gpu_seconds=1)
        catalogue.save(self.store, self.job)
        self.written.clear()

    def _note(self, key: str) -> None:
        self.written.append(key)
        self.on_put(key)

    def took(self, milliseconds: int) -> None:
        Spending(self.redis, JOB).begin(0)
        Purse(self.store).spend(self.redis, self.job, milliseconds)

    def is_spent(self) -> bool:
        return Purse(self.store).is_spent(self.redis, self.job)

    def results(self, *gpu_ms: int) -> None:
        """Results of the first shards that took so long."""
        for shard, each in enumerate(gpu_ms):
            line = result(self.job, shard, "a caption")
            line["usage"]["gpu_ms"] = each
            key = keys.part_key(JOB, "results", shard)
            self.store.put(key, dump_lines([line]))

    @property
    def budget(self) -> Budget | None:
        return budgets.find(self.store, self.job)

    @property
    def ends(self) -> list[str]:
        return list(self.store.list_keys(keys.ENDS))


@pytest.fixture
def place() -> Place:
    return Place()


def test_a_job_pauses_when_its_time_is_taken_and_leaves_its_turn(place: Place) -> None:
    due.note(place.redis, place.job, "caption", [1, 2], 5_000)
    place.took(999)
    assert not place.is_spent()
    assert due.jobs(place.redis) == {JOB}
    place.took(1)
    assert place.is_spent()

    assert place.budget is not None
    assert (place.budget.paused is not None, place.budget.gpu_seconds) == (True, 1.0)
    assert not due.jobs(place.redis)


def test_its_end_is_noted_first_and_once_however_often_pausing_fails(place: Place) -> None:
    class DiedError(Exception): ...

    def die(key: str) -> None:
        if key == keys.budget_key(JOB):
            del place.server.buckets["regioncap"][key]
            raise DiedError

    place.took(1000)
    place.on_put = die
    for _ in range(3):
        with pytest.raises(DiedError):
            place.is_spent()
    place.on_put = lambda _: None
    assert place.is_spent()
    assert place.is_spent()

    (end,) = place.ends
    assert keys.ending(end) == JOB
    assert place.written[:2] == [end, keys.budget_key(JOB)]


def test_it_stays_paused_whatever_redis_has_forgotten(place: Place) -> None:
    place.results(400)
    place.took(1000)  # of which much was in vain
    assert place.is_spent()
    before = place.store.get(keys.budget_key(JOB))
    place.redis.flushdb()

    assert place.is_spent()
    assert place.store.get(keys.budget_key(JOB)) == before


def test_what_redis_has_forgotten_is_found_in_the_results(place: Place) -> None:
    place.results(400, 500)
    place.took(950)
    place.redis.flushdb()
    assert budgets.known_ms(place.redis, place.job, {"gpu_ms": 900}) == 900
    assert not place.is_spent()
    assert budgets.known_ms(place.redis, place.job, {}) == 900
    Purse(place.store).spend(place.redis, place.job, 100)

    assert place.is_spent()


@pytest.mark.parametrize("is_second", [False, True], ids=["first pause", "second"])
def test_who_raises_the_limit_while_it_pauses_is_heard(place: Place, is_second: bool) -> None:
    def resume(key: str) -> None:
        if keys.ending(key) == JOB:
            budgets.resume(place.store, place.redis, place.job, 9.0)

    if is_second:
        budgets.resume(place.store, place.redis, place.job, 0.5)
    place.took(1000)
    place.on_put = resume

    assert not place.is_spent()
    assert place.budget == Budget(max_gpu_seconds=9.0)


def test_what_redis_was_not_told_counts_before_the_next_shard(place: Place) -> None:
    purse = Purse(place.store)
    place.took(0)
    place.switch.is_off = True
    purse.spend(place.redis, place.job, 600)
    with pytest.raises(QueueError):
        purse.is_spent(place.redis, place.job)
    purse.spend(place.redis, place.job, 400)
    place.switch.is_off = False

    assert purse.is_spent(place.redis, place.job)
    assert Spending(place.redis, JOB).read_ms() == 1000


@pytest.mark.parametrize("is_forgotten", [False, True])
@pytest.mark.parametrize("limit", [0.7, 0.9, -1.0, float("inf"), float("nan")])
def test_what_cannot_be_its_next_limit(place: Place, limit: float, is_forgotten: bool) -> None:
    place.results(400, 500)
    place.took(900)
    if is_forgotten:
        place.redis.flushdb()

    with pytest.raises(UsageError) as caught:
        budgets.resume(place.store, place.redis, place.job, limit)
    assert caught.value.code == "bad-budget"
    assert place.budget == Budget(max_gpu_seconds=1)


def test_a_job_without_a_limit_is_given_none(place: Place) -> None:
    job = a_job(JOB, 3)
    with pytest.raises(UsageError, match="has no budget"):
        budgets.resume(place.store, place.redis, job, 9.0)
    assert not Purse(place.store).is_spent(place.redis, job)
    assert not place.written


def test_a_limit_that_cannot_be_read_says_what_to_do(place: Place) -> None:
    place.store.put(keys.budget_key(JOB), b'{"max_gpu_seconds": null}')
    with pytest.raises(RegionCapError, match=r"remove it") as caught:
        place.is_spent()
    assert caught.value.code == "bad-job"


@pytest.mark.parametrize("value", ["inf", "nan", "-inf", "1e999"])
def test_no_setting_of_a_job_is_no_number(value: Any) -> None:
    for name in ("max_gpu_seconds", "price_per_gpu_hour", "temperature"):
        with pytest.raises(UsageError, match=name):
            Settings().for_job({name: value})
