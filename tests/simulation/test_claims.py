"""Nothing is paid twice: a shard is asked about once, however many messages there are of it."""

from __future__ import annotations

import json

import pytest

from regioncap.services.claims import ShardName, allow_second
from regioncap.services.messages import CAPTION_TASK, Message, dump
from tests.simulation.lone import Lone
from tests.simulation.schedule import Process
from tests.simulation.valkey import Client
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


@pytest.mark.parametrize("seed", range(5))
def test_a_worker_that_hangs_is_overtaken_by_a_second(seed: int) -> None:
    world = World(seed)
    slow: list[Process] = []

    def answer_s(process: Process) -> float:
        slow.append(process)
        return 30 * T_S if process is slow[0] else 0.0

    def allow() -> None:
        client = Client(world.redis_server)
        world.schedule.wait(T_S)
        for job, shard in sorted(world.asking):
            message = json.dumps(dump(Message(CAPTION_TASK, job, shard), "caption", f"2nd-{shard}"))
            allow_second(client, "caption", message, ShardName(job, "caption", shard))

    world.answer_s = answer_s
    with world.running():
        lone = Lone(world, set())
        Keeper(world, ["render", "caption", "caption"])
        world.schedule.start(world.schedule.process("backup"), allow)

        found = lone.results()

    assert [record["error"] for record in found] == [None] * 4
    assert world.asked_twice
    assert len(world.asked_twice) <= 4  # each record once more at most
    assert world.schedule.now_s < 20 * T_S
