"""What a worker does around its shards: starts are counted and taken back once."""

from __future__ import annotations

import threading
from collections.abc import Callable, Iterator
from concurrent.futures import ThreadPoolExecutor
from contextlib import suppress

import pytest
import redis
from celery import Celery, Task
from celery.exceptions import Reject

from regioncap.errors import EngineDeadError, QueueError, StoppedError
from regioncap.services.attempts import Attempts
from regioncap.settings import load_settings
from workers.shards import Shards, Work

JOB = "20260101-000000-dddddd"


@pytest.fixture
def shards(stack_settings: dict[str, str]) -> Iterator[Shards]:
    shards = Shards("caption", load_settings(**stack_settings))
    yield shards
    shards.redis.delete(*shards.redis.keys(f"regioncap:{JOB}:*") or ["none"])
    shards.redis.close()


def go_back(shards: Shards, shard: int, work: Work) -> None:
    """Runs a shard that is to be given back to the queue."""
    task: Task = Celery(set_as_current=False).task(die)
    task.push_request(delivery_info={}, properties={"delivery_tag": f"tag-{shard}"})
    with pytest.raises(Reject) as back:
        shards.run(task, JOB, shard, work)
    assert back.value.requeue


def deaths(shards: Shards, shard: int) -> int:
    return Attempts(shards.redis, JOB, "caption", shard).deaths()


def die(*_: object) -> str:
    raise EngineDeadError("the engine is gone")


def test_engine_death__charges_each_shard_in_flight_once(shards: Shards) -> None:
    both, taken_out = threading.Barrier(2), threading.Event()
    shards.on_engine_death = taken_out.set

    def dies(*_: object) -> str:
        both.wait(30)
        return die()

    def is_taken_out(*_: object) -> str:
        both.wait(30)
        taken_out.wait(30)
        raise StoppedError("the worker is told to stop")

    works: list[Callable[..., str]] = [dies, is_taken_out]
    with ThreadPoolExecutor() as pool:
        for done in [pool.submit(go_back, shards, n, work) for n, work in enumerate(works)]:
            done.result(60)
    assert [deaths(shards, shard) for shard in (0, 1)] == [1, 1]


def test_engine_death__nothing_begins_after_it(shards: Shards) -> None:
    begun: list[int] = []
    go_back(shards, 0, die)

    def work(job: str, shard: int, quarantine: object) -> str:
        begun.append(shard)
        return die()

    for shard in (0, 1):
        go_back(shards, shard, work)
    assert not begun
    assert [deaths(shards, shard) for shard in (0, 1)] == [1, 0]


class Away(Attempts):
    """Starts that cannot be taken back while Redis is away."""

    away = True

    def __init__(self, client: redis.Redis) -> None:
        super().__init__(client, JOB, "caption", 0)
        self.twice = threading.Barrier(2)

    def forgive(self, what: str = "shard") -> None:
        if self.away:
            raise QueueError("Redis cannot be reached")
        with suppress(threading.BrokenBarrierError):
            self.twice.wait(0.5)  # time for another thread to do the same
        super().forgive(what)


def test_a_debt_is_paid_once(shards: Shards) -> None:
    starts = Away(shards.redis)
    starts.start()
    starts.start()
    with pytest.raises(StoppedError), shards._forgiving(starts):
        raise StoppedError("the worker is told to stop")
    starts.away = False
    with ThreadPoolExecutor() as pool:
        for payment in [pool.submit(shards._pay) for _ in range(2)]:
            payment.result(60)
    assert deaths(shards, 0) == 1
