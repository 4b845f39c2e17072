"""What a worker does around its shards: starts are counted and taken back once."""

from __future__ import annotations

import json
import threading
import time
from collections.abc import Callable, Iterator
from concurrent.futures import ThreadPoolExecutor
from contextlib import suppress
from dataclasses import replace
from functools import partial
from typing import Any

import pytest
import redis
from celery import Celery, Task
from celery.exceptions import Reject
from redis.client import Pipeline

from regioncap import metrics
from regioncap.errors import (
    EngineAwayError,
    EngineDeadError,
    EngineUnwellError,
    NewerFormatError,
    StoppedError,
    StoreError,
)
from regioncap.jobs.turn import Turn
from regioncap.services.attempts import RECORD_DEATHS, SHARD_DEATHS, Attempts
from regioncap.services.broker import connect
from regioncap.services.claims import UNACKED, ShardName, allow_second
from regioncap.services.leases import Leases
from regioncap.services.waits import Waits, delayed
from regioncap.settings import load_settings
from workers.shards import Delivery, GoesBack, Shards, Work
from workers.task import delivery_of, run_shard

JOB = "20260101-000000-dddddd"
QUEUE = "caption.shards"


@pytest.fixture
def client(stack_settings: dict[str, str]) -> Iterator[redis.Redis]:
    client = connect(load_settings(**stack_settings))
    yield client
    client.delete(*client.keys(f"regioncap:{JOB}:*"), f"regioncap:later:{QUEUE}")
    client.close()


@pytest.fixture
def make(client: redis.Redis) -> Callable[..., Shards]:
    return partial(Shards, "caption", client, Leases(client, 60))


def delivery(shard: int) -> Delivery:
    return Delivery(JOB, shard, f"tag-{shard}", is_redelivered=False, queue=QUEUE)


def go_back(shards: Shards, shard: int, work: Work) -> None:
    """Runs a shard that is to be given back to the queue."""
    with pytest.raises(GoesBack):
        shards.run(delivery(shard), work)


def deaths(client: redis.Redis, shard: int) -> int:
    return Attempts(client, JOB, "caption", shard).deaths()


def die(*_: object) -> str:
    raise EngineDeadError("the engine is gone")


def stop(*_: object) -> str:
    raise StoppedError("the worker is told to stop")


def test_engine_death__charges_each_shard_in_flight_once(
    make: Callable[..., Shards], client: redis.Redis
) -> None:
    both, taken_out = threading.Barrier(2), threading.Event()
    shards = make(on_engine_death=taken_out.set)

    def dies(*_: object) -> str:
        both.wait(30)
        return die()

    def is_taken_out(*_: object) -> str:
        both.wait(30)
        taken_out.wait(30)
        return stop()

    works: list[Callable[..., str]] = [dies, is_taken_out]
    with ThreadPoolExecutor() as pool:
        for done in [pool.submit(go_back, shards, n, work) for n, work in enumerate(works)]:
            done.result(60)
    assert [deaths(client, shard) for shard in (0, 1)] == [1, 1]


def test_engine_death__nothing_begins_after_it(
    make: Callable[..., Shards], client: redis.Redis
) -> None:
    shards = make()
    begun: list[int] = []
    go_back(shards, 0, die)

    def work(job: str, shard: int, quarantine: object) -> str:
        begun.append(shard)
        return die()

    for shard in (0, 1):
        go_back(shards, shard, work)
    assert not begun
    assert [deaths(client, shard) for shard in (0, 1)] == [1, 0]


class Away(redis.Redis):
    """Redis that can be away for what is counted, and where two payments would meet."""

    away = False
    twice: threading.Barrier | None = None

    def pipeline(self, *arguments: object, **options: object) -> Pipeline:
        self._reach()
        return super().pipeline(*arguments, **options)

    def hdel(self, *arguments: Any) -> Any:
        self._reach()
        return super().hdel(*arguments)

    def _reach(self) -> None:
        if self.away:
            raise redis.ConnectionError("Redis cannot be reached")
        if self.twice is not None:
            with suppress(threading.BrokenBarrierError):
                self.twice.wait(0.5)  # time for another thread to do the same


def test_a_debt_is_paid_once(client: redis.Redis) -> None:
    away = Away(connection_pool=client.connection_pool)
    shards = Shards("caption", away, Leases(client, 60))
    Attempts(away, JOB, "caption", 0).start()  # of a worker that died

    def stopped(*_: object) -> str:
        away.away = True
        raise StoppedError("the worker is told to stop")

    go_back(shards, 0, stopped)
    away.away = False
    assert deaths(client, 0) == 2  # one is owed

    away.twice = threading.Barrier(2)
    with ThreadPoolExecutor() as pool:
        for done in [pool.submit(shards.run, delivery(n), lambda *_: "done") for n in (1, 2)]:
            assert done.result(60) == "done"
    assert deaths(client, 0) == 1


def test_a_newer_worker_s_shard_waits_beside_the_queue_and_is_not_charged(
    make: Callable[..., Shards], client: redis.Redis
) -> None:
    def work(*_: object) -> str:
        raise NewerFormatError("written by a newer version")

    assert make().run(delivery(0), work) == "left"
    assert set(delayed(client, QUEUE)) == {(JOB, 0)}
    assert deaths(client, 0) == 0


def test_a_shard_that_must_wait_frees_its_hand_at_once(
    make: Callable[..., Shards], client: redis.Redis
) -> None:
    shards = make(stopping=NeverWaited())

    def refused(*_: object) -> str:
        raise StoreError("the S3 store refused 'x.png': SlowDown")

    assert shards.run(delivery(0), refused) == "waits"
    assert shards.run(delivery(1), lambda *_: "done") == "done"
    assert set(delayed(client, QUEUE)) == {(JOB, 0)}
    assert deaths(client, 0) == 0


class NeverWaited(threading.Event):
    def wait(self, timeout: float | None = None) -> bool:
        raise AssertionError("a worker's hand slept")


def test_a_shard_that_finds_a_suspect_alone_waits_elsewhere(
    make: Callable[..., Shards], client: redis.Redis
) -> None:
    shards, begun, go_on = make(), threading.Event(), threading.Event()
    for _ in range(SHARD_DEATHS):
        Attempts(client, JOB, "caption", 0).start()

    def suspect(*_: object) -> str:
        begun.set()
        go_on.wait(30)
        return "done"

    with ThreadPoolExecutor() as pool:
        alone = pool.submit(shards.run, delivery(0), suspect)
        begun.wait(30)
        assert shards.run(delivery(1), lambda *_: "done") == "held"
        go_on.set()
        assert alone.result(30) == "done"
    assert set(delayed(client, QUEUE)) == {(JOB, 1)}


def fail(*_: object) -> str:
    raise ValueError("something is wrong")


def unwell(why: str) -> None:
    raise EngineUnwellError(f"it says '!!!!' of our own picture, and {why}")


def away(_: str) -> None:
    raise EngineAwayError("the server does not serve")


def test_a_worker_that_is_to_blame_charges_nobody_and_ends(
    make: Callable[..., Shards], client: redis.Redis
) -> None:
    ended = threading.Event()
    shards = make(try_out=unwell, on_engine_death=ended.set)

    assert shards.run(delivery(0), fail) == "waits"
    assert ended.is_set()
    assert deaths(client, 0) == 0
    go_back(shards, 1, lambda *_: "done")  # it takes no more


def test_a_worker_whose_engine_is_elsewhere_waits_and_charges_nobody(
    make: Callable[..., Shards], client: redis.Redis
) -> None:
    shards = make(try_out=away, on_engine_death=lambda: pytest.fail("it ended"))

    assert shards.run(delivery(0), fail) == "waits"
    assert deaths(client, 0) == 0


def test_a_worker_that_is_well_charges_the_shard(
    make: Callable[..., Shards], client: redis.Redis
) -> None:
    tried: list[str] = []
    shards = make(try_out=tried.append, on_engine_death=lambda: pytest.fail("it ended"))

    assert shards.run(delivery(0), fail) == "waits"
    assert tried == ["ValueError: something is wrong"]
    assert deaths(client, 0) == 1


@pytest.mark.parametrize("is_well", [True, False])
def test_a_record_is_given_up_by_a_worker_that_is_well(
    make: Callable[..., Shards], client: redis.Redis, is_well: bool
) -> None:
    for _ in range(SHARD_DEATHS):
        Attempts(client, JOB, "caption", 0).start()
    for _ in range(RECORD_DEATHS):
        Attempts(client, JOB, "caption", 0).start("5")
    shards = make(try_out=(lambda _: None) if is_well else unwell)

    def alone(_: str, __: int, turn: Turn) -> str:
        assert turn.quarantine is not None
        return turn.quarantine.alone(5, lambda: "done", lambda problem: problem.code)

    assert shards.run(delivery(0), alone) == ("poison" if is_well else "waits")
    if not is_well:
        assert deaths(client, 0) == SHARD_DEATHS
        assert Attempts(client, JOB, "caption", 0).start("5") == RECORD_DEATHS


def test_what_goes_back_is_rejected_and_queued_again(make: Callable[..., Shards]) -> None:
    task: Task = Celery(set_as_current=False).task(stop)
    info = {"redelivered": True, "routing_key": "caption"}
    task.push_request(delivery_info=info, properties={"delivery_tag": "a-tag"})

    with pytest.raises(Reject) as back:
        run_shard(make(), task, JOB, 0, stop)

    assert back.value.requeue
    found = delivery_of(task, JOB, 7)
    assert (found.tag, found.is_redelivered, found.shard) == ("a-tag", True, 7)


def test_what_a_shard_waits_for_is_counted(make: Callable[..., Shards]) -> None:
    counted: list[tuple[str, dict[str, str]]] = []
    metrics.install(lambda name, _, labels: counted.append((name, labels)))

    def away(*_: object) -> str:
        raise StoreError("it is away")

    try:
        make().run(delivery(11), away)
    finally:
        metrics.install(None)

    assert ("shard_waits", {"stage": "caption", "code": "store-unavailable"}) in counted


def test_a_second_claim__another_process_does_it_and_the_holder_does_not(
    make: Callable[..., Shards], client: redis.Redis
) -> None:
    holder, other = make(), make()
    begun, may_end = threading.Event(), threading.Event()

    def slowly(*_: object) -> str:
        begun.set()
        assert may_end.wait(30)
        return "done"

    def message(shards: Shards, tag: str) -> str:
        client.hset(UNACKED, tag, json.dumps([{}, "", QUEUE]))
        return shards.run(replace(delivery(7), tag=tag), lambda *_: "done")

    client.hset(UNACKED, delivery(7).tag, json.dumps([{}, "", QUEUE]))
    with ThreadPoolExecutor() as pool:
        first = pool.submit(holder.run, delivery(7), slowly)
        assert begun.wait(30)
        assert message(other, "tag-a") == "claimed"
        # It may be the last message of the shard, whose holder may die.
        assert list(delayed(client, QUEUE)) == [(JOB, 7)]
        assert allow_second(client, QUEUE, "message", ShardName(JOB, "caption", 7))
        assert message(holder, "tag-b") == "claimed"
        assert message(other, "tag-c") == "done"
        may_end.set()
        assert first.result(30) == "done"
    assert holder.times.medians_s().keys() == other.times.medians_s().keys() == {JOB}
    client.hdel(UNACKED, *(f"tag-{end}" for end in "abc7"))
    client.delete(QUEUE)


def test_a_second_claim__who_had_the_shard_before_may_take_it(
    make: Callable[..., Shards], client: redis.Redis
) -> None:
    before, holder = make(), make()
    assert before.run(delivery(8), lambda *_: "already done") == "already done"
    assert not before.times.medians_s()

    def slowly(*_: object) -> str:
        client.hset(UNACKED, "tag-d", "[]")
        assert allow_second(client, QUEUE, "message", ShardName(JOB, "caption", 8))
        return before.run(replace(delivery(8), tag="tag-d"), lambda *_: "done")

    assert holder.run(delivery(8), slowly) == "done"
    client.hdel(UNACKED, "tag-d")
    client.delete(QUEUE)


def test_a_shard_is_new_unless_the_queue_knows_of_a_go_at_it(
    make: Callable[..., Shards], client: redis.Redis
) -> None:
    told: list[bool] = []

    def work(job: str, shard: int, turn: Turn) -> str:
        told.append(turn.is_first)
        if len(told) == 3:
            raise StoreError("the store is away")
        return "done"

    shards = make()
    shards.run(delivery(0), work)
    shards.run(replace(delivery(1), is_redelivered=True), work)
    shards.run(delivery(2), work)
    Waits(client, JOB, "caption", QUEUE).put(2, "store-unavailable", "", pause_s=0.001)
    time.sleep(0.01)
    shards.run(delivery(2), work)
    Attempts(client, JOB, "caption", 3).start()  # of a worker that died
    shards.run(delivery(3), work)
    shards.run(delivery(2), work)

    assert told == [True, False, True, False, False, True]
