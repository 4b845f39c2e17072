"""A lease is renewed for as long as its shard makes progress."""

from __future__ import annotations

from collections.abc import Callable

import pytest
import redis

from regioncap.parallel import Runtime
from regioncap.services.claims import UNACKED, Claim, is_claimed
from regioncap.services.leases import UNACKED_INDEX, Leases, Pulse
from regioncap.services.lives import LIVES
from tests.simulation.gate import Gate
from tests.simulation.valkey import Client, Server

JOB = "20260101-000000-eeeeee"


class Clock(Runtime):
    """A machine's clock that the test sets, and no threads."""

    now_s = 1_000.0

    def monotonic(self) -> float:
        return self.now_s

    def start(self, *_: object) -> None: ...


@pytest.fixture
def clock() -> Clock:
    return Clock()


@pytest.fixture
def client(clock: Clock) -> redis.Redis:
    return Client(Server(lambda: clock.now_s))


def test_a_shard_may_be_silent_for_as_long_as_its_engine_takes(clock: Clock) -> None:
    pulse = Pulse(600.0, clock.monotonic)
    pulse.allow(1_000.0)
    clock.now_s += 900.0
    assert pulse.left_s == 100.0
    pulse.allow(100.0)  # less than the limit changes nothing
    assert pulse.left_s == 0.0


def test_health_does_not_count_what_a_shard_is_allowed(clock: Clock, client: redis.Redis) -> None:
    leases = Leases(client, 30.0, stalled_s=600.0, runtime=clock)
    with leases.hold("slow") as pulse:
        pulse.allow(1_000.0)
        clock.now_s += 300.0
        assert leases.silent_s() == 0.0
        clock.now_s += 700.0
        assert leases.silent_s() == 600.0


def test_a_shard_that_hangs_loses_its_lease_and_its_neighbour_keeps_its_own(
    clock: Clock, client: redis.Redis
) -> None:
    leases = Leases(client, 30.0, stalled_s=600.0, runtime=clock)
    client.zadd(UNACKED_INDEX, {"hangs": clock.now_s, "works": clock.now_s})
    with leases.hold("hangs"), leases.hold("works") as works:
        for _ in range(100):
            clock.now_s += 10.0
            works.beat()
            leases.renew()

        kept = {tag: client.zscore(UNACKED_INDEX, tag) for tag in ("hangs", "works")}
        assert kept == {"hangs": 1_590.0, "works": clock.now_s}
        assert leases.silent_s() == 1_000.0
    assert leases.silent_s() is None


class Interruption(Gate):
    """Has something happen before Redis is asked the next time."""

    act: Callable[[], object] | None = None
    is_away = False

    def enter(self, request: str) -> None:
        if self.is_away:
            raise redis.exceptions.ConnectionError("away")
        act, self.act = self.act, None
        if act is not None:
            act()


def _claim(client: redis.Redis, tag: str) -> Claim:
    client.hset(UNACKED, tag, "[]")
    return Claim(client, JOB, "caption", 1, tag, timeout_s=30)


def test_a_claim_that_redis_has_lost_is_claimed_anew_with_its_lease(
    clock: Clock, client: redis.Redis
) -> None:
    leases = Leases(client, 30.0, runtime=clock)
    mine, other = _claim(client, "mine"), _claim(client, "other")
    with leases.hold("mine", mine):
        assert mine.take()
        client.flushdb()
        leases.renew()
        assert not other.take()
    assert other.take()


def test_a_claim_that_is_released_while_it_is_kept_stays_released(client: redis.Redis) -> None:
    assert isinstance(client, Client)
    claim = _claim(client, "mine")
    assert claim.take()
    client.gate = gate = Interruption()
    gate.act = claim.release
    claim.keep()

    assert not is_claimed(client, JOB, "caption", 1)


def test_a_claim_is_let_go_without_redis_too(client: redis.Redis) -> None:
    assert isinstance(client, Client)
    claim = _claim(client, "mine")
    assert claim.take()

    client.gate = gate = Interruption()
    gate.is_away = True
    claim.release()
    gate.is_away = False
    client.hdel(UNACKED, "mine")
    claim.keep()

    assert not is_claimed(client, JOB, "caption", 1)


def test_who_has_nothing_in_hand_lives_no_more(clock: Clock, client: redis.Redis) -> None:
    leases = Leases(client, 30.0, runtime=clock)
    with leases.hold("a"):
        with leases.hold("b"):
            leases.renew()
        assert client.zcard(LIVES) == 1
    assert client.zcard(LIVES) == 0
