"""Workers that die together: no shard that they had is suspect."""

from __future__ import annotations

import pytest

from regioncap.services.attempts import SHARD_DEATHS
from tests.simulation.lone import Lone
from tests.simulation.world import T_S, Keeper, World

RECORDS = 12


@pytest.mark.parametrize("seed", range(3))
def test_all_caption_workers_are_killed_again_and_again(seed: int) -> None:
    world = World(seed)
    world.answer_s = lambda _: 2 * T_S
    suspect: list[int] = []

    def kill_all() -> None:
        for _ in range(3):
            world.schedule.wait(T_S)
            for worker in keeper.workers:
                if worker.stage == "caption" and worker.process.alive:
                    world.schedule.kill(worker.process)
            world.schedule.wait(1.5 * T_S)
            suspect.extend(n for n in lone.deaths() if n >= SHARD_DEATHS)

    with world.running():
        lone = Lone(world, set(), RECORDS)
        keeper = Keeper(world, ["render", "caption", "caption"])
        world.schedule.start(world.schedule.process("killer"), kill_all)

        found = lone.results()

    assert [record["error"] for record in found] == [None] * RECORDS
    assert suspect == []


@pytest.mark.parametrize("seed", range(3))
def test_poison_in_two_workers_is_found_all_the_same(seed: int) -> None:
    world = World(seed)
    with world.running():
        lone = Lone(world, {1, 4, 6}, RECORDS)
        Keeper(world, ["render", "caption", "caption"])
        poison = lone.world.poison

        found = lone.results()

    failed = {f"{lone.jobs[0].job}-{each['index']}" for each in found if each["error"]}
    assert failed == poison
