"""One job, by which it can be seen what one kind of fault does alone."""

from __future__ import annotations

import json
from pathlib import Path
from typing import Any

from regioncap import keys
from regioncap.job import Job
from regioncap.jobs.submit import submit
from regioncap.services.attempts import Attempts
from regioncap.services.lives import Lives
from regioncap.services.store import Store
from tests.simulation import s3
from tests.simulation.gate import Gate
from tests.simulation.world import T_S, World, records

#: Of the schedule's clock; no job takes so long.
LONG_S = 40 * T_S


class Lone:
    """A world with one job, of four records in two shards.

    Args:
        world: The world.
        poison: Places of records that no engine gets over.
        count: How many records it has.
    """

    def __init__(self, world: World, poison: set[int], count: int = 4) -> None:
        self.world = world
        self._poison = poison
        self._count = count
        self.store: Store = world.store()
        self.store._client = s3.Client(world.s3, Gate())  # type: ignore[assignment]
        self.jobs: list[Job] = []
        world.schedule.start(world.schedule.process("person"), self._submit)

    def _submit(self) -> None:
        world = self.world
        job, _ = submit(
            records(0, self._count), store=world.store(), settings=world.settings, root=Path(),
            runtime=world.runtime,
        )  # fmt: skip
        world.poison |= {f"{job.job}-{index}" for index in self._poison}
        world.sender(world.redis_client()).render(job, range(job.shards))
        self.jobs.append(job)

    def results(self) -> list[dict[str, Any]]:
        """All records, when the job has ended."""
        self.world.schedule.run(self._has_ended, LONG_S)
        (job,) = self.jobs
        parts = [self.store.get(keys.part_key(job.job, "results", n)) for n in range(job.shards)]
        return [json.loads(line) for part in parts for line in part.splitlines()]

    def _has_ended(self) -> bool:
        return bool(self.jobs) and self.store.exists(keys.success_key(self.jobs[0].job))

    def deaths(self) -> list[int]:
        """Starts that are charged, by shard."""
        client = self.world.redis_client()
        client.gate = Gate()
        lives = Lives(client, T_S)
        (job,) = self.jobs
        return [Attempts(client, job.job, "caption", n, lives).deaths() for n in range(job.shards)]
