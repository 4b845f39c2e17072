"""Which shards are late, and how long shards took."""

from __future__ import annotations

from typing import Any

import pytest

from workers.backup import Late, find_late
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
    assert not list(find_late([strange, worker(usual_s=1.0)]))


def test_the_last_shards_of_the_last_jobs_are_remembered() -> None:
    times = ShardTimes()
    times.note("old", 1.0)
    for nth in range(8):
        for seconds in (100.0, *range(1, 17)):
            times.note(f"job {nth}", seconds)

    assert times.medians_s() == {f"job {nth}": 8.5 for nth in range(8)}
