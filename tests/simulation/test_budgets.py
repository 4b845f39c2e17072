"""A job with a limit of GPU time takes no more than that and what was in hand, whatever is lost."""

from __future__ import annotations

import json
from collections.abc import Callable
from functools import partial
from pathlib import Path
from typing import Any

import pytest

from regioncap import keys
from regioncap.job import Job
from regioncap.jobs import budgets, catalogue
from regioncap.jobs.budgets import Purse
from regioncap.jobs.reconcile import reconcile
from regioncap.jobs.submit import submit
from regioncap.services.progress import Progress
from regioncap.services.spending import Spending
from regioncap.services.store import Store
from tests.simulation import s3
from tests.simulation.gate import Gate
from tests.simulation.world import HANDS, T_S, Keeper, World, records

SHARDS = 16
WORKERS = 2
LONG_S = 60 * T_S


class Spender:
    """A world with one job that has a limit, or none, and what engines took for it.

    Args:
        seed: Chooses what happens.
        limit_s: The job's limit; None for none that is ever reached.
    """

    def __init__(self, seed: int, limit_s: float | None) -> None:
        self.world = World(seed)
        self._limit_s = limit_s or 1e9
        #: GPU time of each shard, milliseconds, as it was taken.
        self.taken_ms: list[int] = []
        self.job: Job | None = None
        self.store: Store = self.world.store()
        self.store._client = s3.Client(self.world.s3, Gate())  # type: ignore[assignment]

    def start(self, patch: pytest.MonkeyPatch) -> None:
        spend = Purse.spend

        def noted(purse: Purse, client: Any, job: Job, spent_ms: int) -> None:
            self.taken_ms.append(spent_ms)
            spend(purse, client, job, spent_ms)

        patch.setattr(Purse, "spend", noted)
        Keeper(self.world, ["render", *["caption"] * WORKERS])
        self.as_a_person(self._submit)

    def as_a_person(self, act: Callable[[], object]) -> None:
        self.world.schedule.start(self.world.schedule.process("person"), act)

    def _submit(self) -> None:
        world = self.world
        settings = world.settings.for_job({"max_gpu_seconds": self._limit_s})
        job, _ = submit(
            records(0, 2 * SHARDS), store=world.store(), settings=settings, root=Path(),
            runtime=world.runtime,
        )  # fmt: skip
        world.sender(world.redis_client()).render(job, range(job.shards))
        self.job = job

    def run(self, until: Callable[[], bool], limit_s: float = LONG_S) -> None:
        self.world.schedule.run(until, limit_s)

    def is_paused(self) -> bool:
        found = self._object(keys.budget_key)
        return found is not None and json.loads(found.data)["paused"] is not None

    def is_done(self) -> bool:
        return self._object(keys.success_key) is not None

    def _object(self, key: Callable[[str], str]) -> s3.Body | None:
        """An object of the job; to ask the store in each step takes longer than to live."""
        bucket = self.world.s3.buckets[self.world.settings.s3_bucket]
        return None if self.job is None else bucket.get(key(self.job.job))

    def rest(self) -> None:
        """Lets so much time pass that all in hand has ended, and janitors have looked."""
        until_s = self.world.schedule.now_s + 4 * T_S
        self.run(lambda: self.world.schedule.now_s >= until_s)

    def resume(self, max_gpu_seconds: float) -> None:
        assert self.job is not None
        world, client = self.world, self.world.redis_client()
        budgets.resume(world.store(), client, self.job, max_gpu_seconds, runtime=world.runtime)
        progress: Any = Progress(client, self.job.job)
        sender: Any = world.sender(client)
        reconcile(world.store(), progress, sender, self.job, runtime=world.runtime)


def _whole_ms(seed: int) -> int:
    """What the job takes without a limit."""
    spender = Spender(seed, None)
    with spender.world.running(), pytest.MonkeyPatch.context() as patch:
        spender.start(patch)
        spender.run(spender.is_done)
        assert spender.is_done()
    return sum(spender.taken_ms)


@pytest.mark.parametrize("seed", range(2))
@pytest.mark.parametrize("is_flushed", [False, True], ids=["", "Redis flushed"])
def test_no_more_is_taken_than_the_limit_and_what_was_in_hand(
    seed: int, is_flushed: bool, monkeypatch: pytest.MonkeyPatch
) -> None:
    limit_s = _whole_ms(seed) / 1000 / 3
    spender = Spender(seed, limit_s)
    in_hand = WORKERS * HANDS
    with spender.world.running():
        spender.start(monkeypatch)
        if is_flushed:
            spender.run(lambda: sum(spender.taken_ms) > 500 * limit_s)
            spender.world.redis_server.do_flushdb()
            in_hand *= 2
        spender.run(spender.is_paused)
        assert spender.is_paused()
        spender.rest()

        most_ms = 1000 * limit_s + in_hand * max(spender.taken_ms)
        assert 1000 * limit_s <= sum(spender.taken_ms) + in_hand * max(spender.taken_ms)
        assert sum(spender.taken_ms) <= most_ms
        paused_ms, stored = sum(spender.taken_ms), dict(spender.world.s3.buckets)
        # Nothing makes it go on: no janitor, and no Redis that has forgotten it.
        spender.world.redis_server.do_flushdb()
        spender.rest()
        assert (sum(spender.taken_ms), spender.world.s3.buckets) == (paused_ms, stored)
        assert not any(map(spender.world.redis_server.do_exists, ("render", "caption", "unacked")))

        spender.as_a_person(partial(spender.resume, 1e9))
        spender.run(spender.is_done)
        assert spender.is_done()
        assert spender.job is not None
        assert catalogue.parts(spender.store, spender.job.job, "results") == set(range(SHARDS))


def test_a_limit_that_is_raised_twice_pauses_twice(monkeypatch: pytest.MonkeyPatch) -> None:
    limit_s = _whole_ms(1) / 1000 / 4
    spender = Spender(1, limit_s)
    with spender.world.running():
        spender.start(monkeypatch)
        spender.run(spender.is_paused)
        spender.rest()
        first_ms = sum(spender.taken_ms)
        # Twice, as by a script that is not sure of the first time.
        for _ in range(2):
            spender.as_a_person(partial(spender.resume, 2 * limit_s))
        spender.run(lambda: not spender.is_paused())
        spender.run(spender.is_paused)
        assert spender.is_paused()
        spender.rest()

        assert spender.job is not None
        known = Spending(spender.world.redis_client(), spender.job.job).read_ms()

    assert first_ms < sum(spender.taken_ms) == known
    assert not spender.is_done()
