"""Nothing is paid twice: a shard is asked about once, however many messages there are of it."""

from __future__ import annotations

import pytest

from tests.simulation.lone import Lone
from tests.simulation.world import T_S, Keeper, World

RECORDS = 10


def double(world: World, queue: str) -> None:
    """Puts a second message beside each that comes into a queue."""
    server, before = world.redis_server, world.redis_server.on_push
    doubled: set[str] = set()

    def on_push(key: str) -> None:
        newest = server.do_lindex(key, "0") if key == queue else None
        if newest is not None and newest not in doubled:
            doubled.add(newest)
            server.do_lpush(queue, newest)
        before(key)

    server.on_push = on_push


@pytest.mark.parametrize("seed", range(5))
@pytest.mark.parametrize("queue", ["render", "caption"])
def test_two_messages_of_each_shard(seed: int, queue: str) -> None:
    world = World(seed)
    with world.running():
        lone = Lone(world, set(), RECORDS)
        Keeper(world, ["render", "render", "caption", "caption"])
        double(world, queue)

        found = lone.results()

    assert [record["error"] for record in found] == [None] * RECORDS
    assert world.asked_twice == []
    assert world.calls == RECORDS


@pytest.mark.parametrize("seed", range(5))
def test_redis_is_silent_for_longer_than_leases_last(seed: int) -> None:
    world = World(seed)
    world.answer_s = lambda _: 3 * T_S

    def be_silent() -> None:
        world.schedule.wait(T_S)
        assert world.asking
        world.gate.silent_until_s["redis"] = world.schedule.now_s + 3 * T_S

    with world.running():
        lone = Lone(world, set())
        Keeper(world, ["render", "caption", "caption", "caption"])
        world.schedule.start(world.schedule.process("redis"), be_silent)

        lone.results()

    assert world.asked_twice == []
    assert world.calls == 4
