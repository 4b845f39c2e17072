"""Who is to blame where nothing else goes wrong: a worker, or all that a job holds."""

from __future__ import annotations

import pytest

from tests.simulation.lone import LONG_S, Lone
from tests.simulation.world import Keeper, World


@pytest.mark.parametrize("seed", range(5))
@pytest.mark.parametrize("poison", [{2}, {0, 1, 2, 3}], ids=["one", "all"])
def test_a_lone_job_of_poison_ends(seed: int, poison: set[int]) -> None:
    world = World(seed)
    with world.running():
        lone = Lone(world, poison)
        Keeper(world, ["render", "caption"])

        found = lone.results()

    failed = {record["index"]: record["error"]["code"] for record in found if record["error"]}
    assert failed == dict.fromkeys(poison, "poison")


@pytest.mark.parametrize("seed", range(5))
@pytest.mark.parametrize("way", ["raises", "refuses", "says !!!!"])
def test_a_broken_worker_charges_nobody(seed: int, way: str) -> None:
    world = World(seed)
    with world.running():
        lone = Lone(world, set())
        broken = Keeper(world, ["render", "caption"]).workers[1].process
        world.broken[broken] = way
        world.schedule.run(lambda: not broken.alive, LONG_S)
        assert lone.deaths() == [0, 0]

        found = lone.results()

    assert [record["error"] for record in found] == [None] * 4
