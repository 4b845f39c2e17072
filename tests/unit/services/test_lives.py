"""Which deaths speak against a shard, where workers were seen last at times that the test sets."""

from __future__ import annotations

import pytest
import redis

from regioncap.services.lives import LIVES, Lives, Start, read
from tests.simulation.gate import Gate
from tests.simulation.valkey import Client, Server

NOW_S = 100_000.0
T_S = 30.0


class Fleet:
    """Workers that were seen last so long ago, by their hosts."""

    def __init__(self) -> None:
        self.redis = Client(Server(lambda: NOW_S))
        self.me = Lives(self.redis, T_S, "mine")

    def seen(self, ago_s: float, host: str = "a") -> Start:
        """A worker, and its start 5 s before."""
        lives = Lives(self.redis, T_S, host)
        self.redis.zadd(LIVES, {lives.name: NOW_S - ago_s})
        return Start(lives.name, NOW_S - ago_s - 5)

    def blamed(self, *starts: Start, enough: int = 2) -> int:
        return self.me.blamed(starts, enough)


@pytest.fixture
def fleet() -> Fleet:
    return Fleet()


def test_fewer_than_make_suspect_are_counted_as_they_are(fleet: Fleet) -> None:
    start = fleet.seen(100)
    fleet.seen(100, "b")
    assert fleet.blamed(start) == 1
    assert fleet.blamed(start, enough=1) == 0


def test_who_was_seen_just_now_has_not_died(fleet: Fleet) -> None:
    starts = fleet.seen(21, "b"), fleet.seen(500, "c")
    fleet.seen(19)
    assert fleet.blamed(*starts) == 2


def test_who_asks_has_not_died_though_it_was_silent(fleet: Fleet) -> None:
    fleet.redis.zadd(LIVES, {fleet.me.name: NOW_S - 100})
    assert fleet.blamed(fleet.seen(100), fleet.seen(500, "b")) == 2


def test_a_death_is_when_its_worker_was_seen_last(fleet: Fleet) -> None:
    starts = [fleet.seen(100)._replace(at=NOW_S - 900), fleet.seen(500)]
    fleet.seen(100, "b")
    assert fleet.blamed(*starts) == 1


@pytest.mark.parametrize(("apart_s", "count"), [(10, 1), (11, 2)])
def test_deaths_a_third_of_the_timeout_apart_are_together(
    fleet: Fleet, apart_s: float, count: int
) -> None:
    starts = fleet.seen(100), fleet.seen(500)
    fleet.seen(100 + apart_s, "b")
    assert fleet.blamed(*starts) == count


def test_a_start_of_nobody_known_is_not_excused(fleet: Fleet) -> None:
    fleet.seen(100)
    fleet.seen(1, "b")
    unknown = Start("", NOW_S - 100)
    assert fleet.blamed(unknown, unknown) == 2


def test_deaths_on_one_host_are_as_one_where_others_live(fleet: Fleet) -> None:
    starts = fleet.seen(100), fleet.seen(500)
    assert fleet.blamed(*starts) == 2
    fleet.seen(1)  # on the same host
    assert fleet.blamed(*starts) == 2
    fleet.seen(1, "b")
    assert fleet.blamed(*starts) == 1
    assert fleet.blamed(*starts, *starts, *starts) == 6


def test_who_died_yesterday_is_forgotten(fleet: Fleet) -> None:
    fleet.seen(24 * 3600 + 1)
    fleet.seen(24 * 3600 - 1)
    fleet.me.touch()
    assert fleet.redis.zcard(LIVES) == 2


def test_who_leaves_without_redis_leaves_all_the_same(fleet: Fleet) -> None:
    class Away(Gate):
        def enter(self, request: str) -> None:
            raise redis.exceptions.ConnectionError(request)

    fleet.redis.gate = Away()
    fleet.me.leave()


@pytest.mark.parametrize("text", ["12", "no json", "{}", '{"life": 1, "at": "x"}', "null"])
def test_what_is_no_start_of_this_version_is_one_of_nobody(text: str) -> None:
    assert read(text) == Start("", 0.0)
    assert read(Start("a/b", 3.0).text()) == Start("a/b", 3.0)
