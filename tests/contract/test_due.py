"""Shards that are due and follow into queues: on the real Valkey, and on the one in memory."""

from __future__ import annotations

import json
import time
from collections.abc import Iterator
from typing import Any

import pytest
import redis

from regioncap.job import Job
from regioncap.services import due, messages
from regioncap.services.backlog import read_backlog, read_depths
from regioncap.services.broker import connect
from regioncap.services.feeder import Feeder, standings
from regioncap.services.progress import Progress
from regioncap.services.sender import Sender
from regioncap.settings import Settings, load_settings
from tests.simulation.valkey import Client, Server
from tests.support.jobs import a_job

LARGE, SMALL, THIRD = (f"20260101-000000-{letter * 6}" for letter in "abc")
#: What a queue without workers is filled up to.
MARK = 4


@pytest.fixture(params=["valkey", "memory"])
def client(request: pytest.FixtureRequest) -> Iterator[redis.Redis]:
    if request.param == "memory":
        yield Client(Server(time.time))
        return
    given = request.getfixturevalue("stack_settings")
    broker_url = given["broker_url"].removesuffix("/0") + "/2"
    with connect(load_settings(**given | {"broker_url": broker_url})) as client:
        client.flushdb()
        yield client
        client.flushdb()


def sender(client: redis.Redis, window_shards: int = 5_000) -> Sender:
    return Sender(client, Settings(window_shards=window_shards))


def take(client: redis.Redis, queue: str = "render") -> list[tuple[str, int]]:
    """Takes all that lies in a queue, the next first."""
    texts = iter(lambda: client.rpop(queue), None)
    found = [messages.parse(str(text), queue) for text in texts]
    return [(message.job, message.shard) for message in found]


def all_taken(client: redis.Redis, queue: str = "render") -> list[tuple[str, int]]:
    """Takes and feeds until nothing follows."""
    taken, feeder = take(client, queue), Feeder(client)
    while feeder.feed(queue):
        taken += take(client, queue)
    return taken


def shards_due(client: redis.Redis) -> set[int]:
    return set(due.numbers(due.bitmap(client, LARGE, "render")))


def finish(client: redis.Redis, job: Job, *shards: int) -> None:
    for shard in shards:
        Progress(client, job.job).note_part(shard, {"sha256": "0" * 64, "counts": {}})


def test_a_large_job_is_noted_at_once_and_follows_shard_by_shard(client: redis.Redis) -> None:
    job = a_job(LARGE, 1000)

    sender(client).render(job, range(job.shards))

    assert client.llen("render") == MARK
    assert due.count(client, LARGE) == 1000 - MARK
    assert shards_due(client) == set(range(MARK, 1000))
    assert all_taken(client) == [(LARGE, shard) for shard in range(1000)]
    assert not list(client.scan_iter(f"regioncap:{LARGE}:*"))
    assert not due.jobs(client)


def test_jobs_take_turns_and_a_new_one_is_next(client: redis.Redis) -> None:
    sender(client).render(a_job(LARGE, 100), range(100))
    assert take(client) == [(LARGE, shard) for shard in range(MARK)]
    sender(client).render(a_job(SMALL, 3), range(3))

    assert all_taken(client)[:7] == [
        (SMALL, 0), (LARGE, 4), (SMALL, 1), (LARGE, 5), (SMALL, 2), (LARGE, 6), (LARGE, 7),
    ]  # fmt: skip


def test_jobs_with_results_join_at_the_end(client: redis.Redis) -> None:
    """Else those whose shards become due one by one would leave no turn to others."""
    due.note(client, a_job(LARGE, 100), "caption", range(100), 5_000)
    others = [a_job(f"20260101-000000-{letter * 6}", 100) for letter in "bcdefg"]
    for job in others:
        finish(client, job, 0)
    taken = []
    for shard in range(1, 10):
        for job in others:
            due.note(client, job, "caption", [shard], 5_000)
        Feeder(client).feed("caption")
        taken += [job for job, _ in take(client, "caption")]

    assert taken.count(LARGE) >= len(taken) // 7


@pytest.mark.parametrize(
    ("first", "second", "order"),
    [
        ("normal", "high", [SMALL, SMALL, SMALL, LARGE]),
        ("low", "normal", [SMALL, SMALL, SMALL, LARGE]),
        ("normal", "low", [LARGE, LARGE, LARGE, LARGE]),
        ("high", "normal", [LARGE, LARGE, LARGE, LARGE]),
    ],
)
def test_a_higher_priority_goes_first(
    client: redis.Redis, first: str, second: str, order: list[str]
) -> None:
    sender(client).render(a_job(LARGE, 30, priority=first), range(30))
    take(client)
    sender(client).render(a_job(SMALL, 3, priority=second), range(3))

    taken = all_taken(client)

    assert [job for job, _ in taken[:4]] == order
    assert len(taken) == 33 - MARK


def test_a_window_of_a_job_is_on_its_way_and_others_pass_it(client: redis.Redis) -> None:
    sick = a_job(LARGE, 100)
    sender(client, window_shards=6).render(sick, range(100))
    assert all_taken(client) == [(LARGE, shard) for shard in range(6)]
    sender(client).render(a_job(SMALL, 8), range(8))
    assert {job for job, _ in all_taken(client)} == {SMALL}

    finish(client, sick, 2, 4)

    assert all_taken(client) == [(LARGE, 6), (LARGE, 7)]


def test_jobs_that_are_held_up_are_passed_however_many(client: redis.Redis) -> None:
    for minute in range(70):
        name = f"20260101-00{minute // 60:02}{minute % 60:02}-aaaaaa"
        due.note(client, a_job(name, 2), "render", [0], window_shards=1)
    last = "20260102-000000-aaaaaa"  # of one score, names decide
    due.note(client, a_job(last, 3), "render", range(3), 5_000)

    assert all_taken(client) == [(last, shard) for shard in range(3)]


def test_drawing_pauses_where_captions_lag_but_not_for_a_job_that_has_none(
    client: redis.Redis,
) -> None:
    large = a_job(LARGE, 100, queue="caption.slow")
    sender(client).render(large, range(100))
    drawn = 0
    while taken := take(client):
        sender(client).caption(large, [shard for _, shard in taken])
        drawn += len(taken)
        Feeder(client).feed("render")
    assert 16 <= drawn < 30

    sender(client).render(a_job(SMALL, 8, queue="caption.slow"), range(8))
    assert all_taken(client) == [(SMALL, shard) for shard in range(4)]
    sender(client).render(a_job(THIRD, 8), range(8))  # its captions are made elsewhere
    assert {job for job, _ in all_taken(client)} == {THIRD}

    found = read_depths(client, ["render", "caption.slow"])
    assert (found["render"].due, found["render"].paused) == (0, 100 - drawn + 4)
    slow = found["caption.slow"]
    assert (slow.queued + slow.due, slow.undrawn) == (drawn, 100 - drawn + 4)

    take(client, "caption.slow")
    while Feeder(client).feed("caption.slow"):
        finish(client, large, *(shard for _, shard in take(client, "caption.slow")))
    assert {job for job, _ in all_taken(client)} == {LARGE, SMALL}


def test_two_that_feed_at_once_send_once(client: redis.Redis) -> None:
    sender(client).render(a_job(LARGE, 9), range(9))
    take(client)
    (found,) = standings(client, "render")
    text = json.dumps(messages.dump(messages.Message("regioncap.render", LARGE, 5), "render", "t"))
    planned = [(found.job, 5, text)]

    fed = [due.put(client, "render", MARK, [(found.job, found.score)], planned) for _ in range(2)]

    assert fed == [1, 0]
    assert take(client) == [(LARGE, 5)]


def test_nobody_fills_a_queue_above_its_mark(client: redis.Redis) -> None:
    sender(client).render(a_job(LARGE, 9), range(9))
    (found,) = standings(client, "render")
    text = json.dumps(messages.dump(messages.Message("regioncap.render", LARGE, 5), "render", "t"))

    assert not due.put(client, "render", MARK, [(LARGE, found.score)], [(LARGE, 5, text)])
    assert 5 in shards_due(client)


def test_noting_twice_does_no_harm(client: redis.Redis) -> None:
    job = a_job(LARGE, 100)
    for shards in (range(40, 100), [3], range(40, 100), [3, 50]):
        due.note(client, job, "render", shards, 5_000)

    assert shards_due(client) == {3, *range(40, 100)}
    assert due.first_shards(client, LARGE, "render", 3) == [3, 40, 41]


def test_a_turn_that_was_lost_is_given_again(client: redis.Redis) -> None:
    job = a_job(LARGE, 9)
    due.note(client, job, "render", range(9), 5_000)
    client.delete(due.turns_key("render"))

    sender(client).render(job, ())

    assert len(all_taken(client)) == 9
    due.note(client, job, "render", (), 5_000)
    assert not due.jobs(client)


def test_what_is_noted_again_keeps_its_turn(client: redis.Redis) -> None:
    large = a_job(LARGE, 100)
    sender(client).render(large, range(100))
    take(client)
    due.note(client, a_job(SMALL, 3), "render", range(3), 5_000)
    due.note(client, large, "render", range(4), 5_000)
    Feeder(client).feed("render")

    assert [job for job, _ in take(client)] == [SMALL, LARGE, SMALL, LARGE]


def test_one_stage_that_has_ended_leaves_the_other_its_limits(client: redis.Redis) -> None:
    job = a_job(LARGE, 9)
    due.note(client, job, "render", range(8), window_shards=2)
    due.note(client, job, "caption", [8], window_shards=2)
    assert due.count(client, LARGE) == 9

    assert all_taken(client, "caption") == [(LARGE, 8)]
    assert all_taken(client) == [(LARGE, 0)]
    finish(client, job, 0, 8)
    assert all_taken(client) == [(LARGE, 1), (LARGE, 2)]


def test_all_queues_that_jobs_take_turns_at_are_fed(client: redis.Redis) -> None:
    due.note(client, a_job(LARGE, 9), "render", [1], 5_000)
    due.note(client, a_job(SMALL, 9, queue="caption.slow"), "caption", [2], 5_000)
    Feeder(client).feed_all()

    assert (take(client), take(client, "caption.slow")) == ([(LARGE, 1)], [(SMALL, 2)])


def test_a_job_that_has_nothing_due_has_no_turn(client: redis.Redis) -> None:
    due.note(client, a_job(LARGE, 9), "render", [1], 5_000)
    client.delete(due.bits_key(LARGE, "render"))
    Feeder(client).feed("render")

    assert not due.jobs(client)


def test_shards_far_apart_are_found(client: redis.Redis) -> None:
    job = a_job(LARGE, 1_000_000)
    few = [0, 7, 4095, 4096, 50_000, 999_999]
    due.note(client, job, "render", few, 5_000)

    assert due.first_shards(client, LARGE, "render", 99) == few
    assert shards_due(client) == set(few)


def test_what_is_due_of_a_job_is_part_of_its_backlog(client: redis.Redis) -> None:
    sender(client).render(a_job(LARGE, 9), range(9))

    assert len(read_backlog(client, {"caption"}).render) == MARK
    assert read_backlog(client, {"caption"}, [LARGE]).shards(LARGE, "render") == set(range(9))
    assert read_depths(client, ["render"])["render"][:1] == (MARK,)


def test_nothing_follows_of_a_job_that_is_dropped(client: redis.Redis) -> None:
    job = a_job(LARGE, 9, queue="caption.x")
    due.note(client, job, "render", range(9), 5_000)
    due.note(client, job, "caption", [1, 2], 5_000)

    due.drop(client, LARGE)

    assert not due.jobs(client)
    assert not list(client.scan_iter(f"regioncap:{LARGE}:due*"))


def test_how_many_are_queued_follows_from_the_workers(client: redis.Redis) -> None:
    told: dict[str, Any] = {"kind": "render", "host": "h", "since": 1.0, "room": 16}
    for pid, in_hand, per_s in ((1, 10, 0.0), (2, 16, 5.0)):
        worker = told | {"pid": pid, "in_hand": [{}] * in_hand, "per_s": {"shards": per_s}}
        client.set(f"regioncap:worker:render:h:{pid}", json.dumps(worker))

    sender(client).render(a_job(LARGE, 1000), range(1000))

    assert client.llen("render") == 10  # two seconds of work; free hands are fewer
