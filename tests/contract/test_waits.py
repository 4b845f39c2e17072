"""Shards that wait: on the real Valkey, and on the one in memory, whose clock tests can set."""

from __future__ import annotations

import json
from collections.abc import Callable, Iterator

import pytest
import redis

from regioncap.services import messages, waits
from regioncap.services.backlog import read_backlog, read_depths
from regioncap.services.broker import connect
from regioncap.services.waits import Waits, put_back
from regioncap.settings import load_settings
from tests.simulation.valkey import Client, Server

JOB, OTHER = "20260101-000000-eeeeee", "20260101-000000-ffffff"
QUEUE = "caption.waits"


class Clock:
    """The time of a Redis in memory."""

    now_s = 1_800_000_000.0


@pytest.fixture
def clock() -> Clock:
    return Clock()


@pytest.fixture
def memory(clock: Clock) -> redis.Redis:
    return Client(Server(lambda: clock.now_s))


@pytest.fixture(params=["valkey", "memory"])
def client(request: pytest.FixtureRequest) -> Iterator[redis.Redis]:
    if request.param == "memory":
        yield request.getfixturevalue("memory")
        return
    with connect(load_settings(**request.getfixturevalue("stack_settings"))) as client:
        yield client
        client.delete(QUEUE, f"regioncap:later:{QUEUE}", *client.keys("regioncap:*:waits:*"))


def of(client: redis.Redis, job: str = JOB) -> Waits:
    return Waits(client, job, "caption", QUEUE)


def away(client: redis.Redis, shard: int, *, of_job: bool = True, job: str = JOB) -> float:
    return of(client, job).put(shard, "store-unavailable", "the store is away", of_job=of_job)


def queued(client: redis.Redis) -> list[tuple[str, int]]:
    texts = client.lrange(QUEUE, 0, -1)
    found = [messages.parse(text, QUEUE) for text in texts]
    return [(message.job, message.shard) for message in found]


def test_nobody_takes_it_before_its_time_and_then_it_is_queued_once(client: redis.Redis) -> None:
    of(client).put(3, "newer-format", "stored by a newer version", pause_s=600.0)
    of(client).pause(4, -1.0)

    assert [put_back(client, QUEUE), put_back(client, QUEUE)] == [1, 0]
    assert queued(client) == [(JOB, 4)]
    assert read_backlog(client, {QUEUE}).caption == {(JOB, 3), (JOB, 4)}
    depth = read_depths(client, [QUEUE])[QUEUE]
    assert (depth.queued, depth.waiting) == (1, 1)


def test_two_that_put_back_at_once_put_back_once(client: redis.Redis) -> None:
    of(client).pause(4, -1.0)
    text = json.dumps(messages.dump(messages.Message("regioncap.caption", JOB, 4), QUEUE, "tag"))
    arguments = (2, f"regioncap:later:{QUEUE}", QUEUE, f"{JOB}:4", text)

    assert [client.eval(waits._PUT_BACK, *arguments) for _ in range(2)] == [1, 0]
    assert queued(client) == [(JOB, 4)]


def test_a_shard_that_waits_twice_for_one_cause_waits_longer(
    memory: redis.Redis, clock: Clock
) -> None:
    pauses = []
    for _ in range(6):
        pauses.append(away(memory, 0, of_job=False))
        clock.now_s += pauses[-1]

    assert pauses == [1.0, 2.0, 4.0, 8.0, 15.0, 15.0]
    assert of(memory).look(0).tries_of("store-unavailable") == 6
    assert of(memory).look(0).tries_of("store-refused") == 0
    assert of(memory).put(0, "store-refused", "AccessDenied") == 1.0
    assert of(memory).look(0).tries_of("store-unavailable") == 6  # causes may take turns
    of(memory).forget(0)
    assert of(memory).look(0).tries == {}


def test_two_messages_of_a_shard_wait_as_one(memory: redis.Redis, clock: Clock) -> None:
    away(memory, 0, of_job=False)
    until = clock.now_s + 1.0
    assert of(memory).look(0).held_until == until  # the other message comes
    clock.now_s += 0.5
    away(memory, 0, of_job=False)  # it was in hand already
    assert of(memory).look(0).tries_of("store-unavailable") == 1
    clock.now_s = of(memory).look(0).held_until
    assert not of(memory).look(0).held_until


def test_what_is_no_shard_is_dropped(client: redis.Redis) -> None:
    client.zadd(f"regioncap:later:{QUEUE}", {"what is this": 0.0, f"{JOB}:x": 0.0, f"{JOB}:1": 0.0})

    put_back(client, QUEUE)

    assert queued(client) == [(JOB, 1)]
    assert not client.zcard(f"regioncap:later:{QUEUE}")


def held(client: redis.Redis, shard: int, job: str = JOB) -> bool:
    return of(client, job).look(shard).held_until > 0


@pytest.fixture
def sick(memory: redis.Redis, clock: Clock) -> Callable[[], None]:
    """Has a job wait twice in a row."""

    def make() -> None:
        away(memory, 0)
        clock.now_s += 1.5
        away(memory, 0)

    return make


def test_a_job_that_waits_in_a_row_is_held_and_no_other(
    memory: redis.Redis, sick: Callable[[], None]
) -> None:
    away(memory, 7)
    assert not held(memory, 1)
    memory.flushdb()
    sick()
    assert held(memory, 1)
    assert not held(memory, 1, OTHER)


def test_those_that_fail_together_are_one(memory: redis.Redis, clock: Clock) -> None:
    for shard in range(8):
        away(memory, shard)
    assert not held(memory, 9)
    clock.now_s += 1.5
    for shard in range(8):
        away(memory, shard)
    assert of(memory).look(9).held_until == clock.now_s + 2.0


def test_of_a_held_job_one_at_a_time_is_tried(
    memory: redis.Redis, clock: Clock, sick: Callable[[], None]
) -> None:
    sick()
    clock.now_s += 2.5
    assert [held(memory, shard) for shard in range(1, 5)] == [False, True, True, True]
    away(memory, 1)  # fails sooner than the pause of the others is over
    assert of(memory).look(2).held_until == clock.now_s + 4.0
    clock.now_s += 4.5
    assert [held(memory, 3), held(memory, 4)] == [False, True]
    of(memory).forget(3)  # it went well
    assert not any(held(memory, shard) for shard in range(4, 9))


def test_a_shard_that_fails_among_others_that_do_not_holds_nobody(
    memory: redis.Redis, clock: Clock
) -> None:
    for well in range(1, 20):
        away(memory, 0)
        of(memory).forget(well)
        clock.now_s += 20.0
        assert not held(memory, well + 1)


def test_why_a_job_waits_and_for_how_long(
    memory: redis.Redis, clock: Clock, sick: Callable[[], None]
) -> None:
    begun = clock.now_s
    sick()
    clock.now_s += 2.0
    of(memory).put(5, "store-refused", "the store refuses x.png: AccessDenied")
    for _ in range(3):  # those that are tried are others each time
        clock.now_s += 16.0
        shard = 10 + int(clock.now_s) % 7
        assert not held(memory, shard)
        away(memory, shard)

    away_, refused = waits.waiting(memory, JOB)
    assert (away_.code, away_.reason) == ("store-unavailable", "the store is away")
    assert (away_.since, refused.since) == (begun, begun + 3.5)
    assert waits.waiting(memory, OTHER) == []
    clock.now_s += 100.0
    assert waits.waiting(memory, JOB) == []  # long queued again, or done elsewhere
