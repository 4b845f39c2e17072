"""A lease is renewed for as long as its shard makes progress."""

from __future__ import annotations

import pytest
import redis

from regioncap.parallel import Runtime
from regioncap.services.leases import UNACKED_INDEX, Leases, Pulse
from tests.simulation.valkey import Client, Server


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
