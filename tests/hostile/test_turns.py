"""What whoever submits may write of turns: it stops no queue, and costs no other job a shard."""

from __future__ import annotations

from collections.abc import Callable, Iterator

import pytest
import redis

from regioncap.services import due
from regioncap.services.backlog import read_depths
from regioncap.services.broker import connect
from regioncap.services.feeder import Feeder
from regioncap.settings import load_settings
from tests.support.jobs import a_job
from tests.support.redis_server import redis_server

GOOD, BAD = "20260101-000000-aaaaaa", "20260101-000000-bbbbbb"
TURNS, BITS = due.turns_key("render"), due.bits_key(BAD, "render")

Write = Callable[[redis.Redis], object]


@pytest.fixture(scope="module")
def server(tmp_path_factory: pytest.TempPathFactory) -> Iterator[redis.Redis]:
    with redis_server(tmp_path_factory.mktemp("valkey")) as port:
        yield connect(load_settings(broker_url=f"redis://127.0.0.1:{port}/0"))


@pytest.fixture
def client(server: redis.Redis) -> redis.Redis:
    """A Redis in which two jobs have a shard due."""
    server.flushdb()
    server.hset("regioncap:beat", "last", "1")
    for name in (GOOD, BAD):
        due.note(server, a_job(name, 1), "render", [0], 5)
    return server


@pytest.mark.parametrize(
    "write",
    [
        lambda c: c.sadd("regioncap:turns", "regioncap:beat"),
        lambda c: c.sadd("regioncap:turns", b"\xff"),
        lambda c: c.sadd("regioncap:turns", "caption.x") and c.set(due.turns_key("caption.x"), "x"),
        lambda c: c.hset(due.job_key(BAD), "window", "x"),
        lambda c: c.hset(due.job_key(BAD), "shards", "9" * 5_000),
        lambda c: c.hset(due.job_key(BAD), "queue", "regioncap:beat"),
        lambda c: c.hset(due.job_key(BAD), "queue", b"\xff"),
        lambda c: c.zadd(TURNS, {BAD: float("inf")}),
        lambda c: c.zadd(TURNS, {BAD: float("-inf")}),
        lambda c: c.zadd(TURNS, {b"\xff": 0}),
        lambda c: c.zadd(TURNS, {f"no job {n}": n for n in range(200)}),
        lambda c: c.delete(BITS) and c.hset(BITS, "a", "b"),
        lambda c: c.delete(due.job_key(BAD)) and c.set(due.job_key(BAD), "x"),
    ],
)  # fmt: skip
def test_another_job_has_its_turn_all_the_same(client: redis.Redis, write: Write) -> None:
    write(client)
    Feeder(client).feed_all()
    Feeder(client).after_taking("render")

    sent = [str(text) for text in client.lrange("render", 0, -1)]
    assert len(sent) in {1, 2}
    assert GOOD not in due.jobs(client)
    assert due.jobs(client) <= {BAD}
    read_depths(client, ["render"])


def test_only_queues_of_ours_are_fed(client: redis.Redis) -> None:
    client.sadd("regioncap:turns", "regioncap:beat", "celery.pidbox", b"\xff", "caption.own")

    assert due.queues(client) == {"render", "caption.own"}


def test_whatever_goes_wrong_in_feeding_the_shard_that_was_taken_is_done(
    client: redis.Redis, monkeypatch: pytest.MonkeyPatch
) -> None:
    def stumble(*_: object) -> None:
        raise RuntimeError("what nobody thought of")

    monkeypatch.setattr("regioncap.services.feeder.standings", stumble)
    Feeder(client).after_taking("render")
