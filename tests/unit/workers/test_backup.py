"""Which shards are late, and how long shards took."""

from __future__ import annotations

import json
from collections.abc import Callable
from typing import Any

import pytest

from regioncap.services import due
from regioncap.services.claims import UNACKED, Claim
from regioncap.services.messages import parse
from tests.simulation.valkey import Client, Server
from tests.support.jobs import a_job
from workers.backup import Backup, Late, find_late
from workers.shard_times import ShardTimes

JOB = "20260101-000000-aaaaaa"


def worker(seconds: float | None = None, usual_s: object = None) -> dict[str, Any]:
    """What a worker tells that has shard 3 in hand for so long, and took so long for others."""
    held = [] if seconds is None else [{"job": JOB, "shard": 3, "seconds": seconds}]
    return {"in_hand": held, "shard_s": {} if usual_s is None else {JOB: usual_s}}


@pytest.mark.parametrize(
    ("seconds", "is_late"), [(19, False), (20, True), (2000, True)], ids=["as others", "twice", "x"]
)
def test_a_holder_that_takes_twice_as_long_as_others_is_slow(seconds: float, is_late: bool) -> None:
    fleet = [worker(seconds, 500.0), worker(usual_s=9.0), worker(usual_s=10.0), worker(usual_s=80)]

    assert list(find_late(fleet)) == ([Late(JOB, 3, seconds, 10.0)] if is_late else [])


def test_short_shards_are_given_their_time() -> None:
    assert not list(find_late([worker(14), worker(usual_s=0.1)]))
    assert list(find_late([worker(15), worker(usual_s=0.1)]))


def test_where_nobody_else_has_done_one_nobody_is_slow() -> None:
    assert not list(find_late([worker(9000, 1.0)]))
    assert not list(find_late([worker(9000, 1.0), worker()]))
    other = worker() | {"shard_s": {"20260101-000000-bbbbbb": 1.0}}
    assert not list(find_late([worker(9000), other]))


@pytest.mark.parametrize(
    "strange",
    [
        {},
        {"in_hand": 3, "shard_s": []},
        {"in_hand": [None, {"job": "../x", "shard": 1, "seconds": 99}]},
        {"in_hand": [{"job": JOB, "shard": "1", "seconds": 99}, {"job": JOB, "shard": 1}]},
        {"in_hand": [{"job": JOB, "shard": 1, "seconds": "nan"}], "shard_s": {JOB: "fast"}},
    ],
)
def test_what_no_worker_tells_is_passed_over(strange: dict[str, Any]) -> None:
    other = worker(usual_s=1.0)
    other["shard_s"]["../x"] = 1.0
    assert not list(find_late([strange, other]))


def test_the_last_shards_of_the_last_jobs_are_remembered() -> None:
    times = ShardTimes()
    times.note("old", 1.0)
    for nth in range(8):
        for seconds in (100.0, *range(1, 17)):
            times.note(f"job {nth}", seconds)

    assert times.medians_s() == {f"job {nth}": 8.5 for nth in range(8)}
    times.note("job 0", 8.5)
    times.note("new", 1.0)
    assert times.medians_s().keys() == {"new", "job 0", *(f"job {nth}" for nth in range(2, 8))}


class Fleet:
    """A Redis in memory, with a worker whose shard 3 is late, and one that took 10 s for others."""

    def __init__(self) -> None:
        self.now_s = 1_000.0
        self.redis = Client(Server(lambda: self.now_s))
        self.looks = self.backup()
        self._tell(1, worker(99))
        self._tell(2, worker(usual_s=10.0))
        self.claim(3)

    def backup(self, has_room: Callable[[], bool] = lambda: True) -> Backup:
        return Backup(self.redis, "caption", has_room)

    def claim(self, shard: int) -> None:
        self.redis.hset(UNACKED, f"tag-{shard}", "[]")
        assert Claim(self.redis, JOB, "caption", shard, f"tag-{shard}", timeout_s=30).take()

    def _tell(self, pid: int, told: dict[str, Any]) -> None:
        mine = {"kind": "caption", "host": "h", "pid": pid, "since": 1.0, "queue": "caption"}
        self.redis.set(f"regioncap:worker:caption:h:{pid}", json.dumps(mine | told))

    @property
    def sent(self) -> list[int]:
        texts = self.redis.lrange("caption", 0, -1)
        return [parse(str(text), "caption").shard for text in texts]


def test_who_has_room_where_nothing_is_left_allows_a_second_claim_once() -> None:
    fleet = Fleet()
    assert fleet.looks.look() == 1
    assert fleet.sent == [3]
    fleet.redis.delete("caption")  # somebody has it
    fleet.now_s += 5.0
    assert fleet.looks.look() == 0


def test_one_worker_looks_at_a_time() -> None:
    fleet = Fleet()
    fleet.redis.delete(UNACKED)  # nobody does it just now
    assert fleet.looks.look() == 0
    fleet.claim(3)
    assert fleet.backup().look() == 0
    fleet.now_s += 5.0
    assert fleet.backup().look() == 1


def test_what_is_left_to_do_comes_first() -> None:
    fleet = Fleet()
    assert fleet.backup(lambda: False).look() == 0
    fleet.redis.lpush("caption", "a message")
    assert fleet.looks.look() == 0
    fleet.now_s += 5.0
    fleet.redis.delete("caption")
    due.note(fleet.redis, a_job(JOB), "caption", [5], 5_000)
    assert fleet.looks.look() == 0
    fleet.now_s += 5.0
    due.drop(fleet.redis, JOB)
    assert fleet.looks.look() == 1
