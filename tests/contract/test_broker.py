"""The queue of simulations is kombu's: the same messages, and the same bookkeeping of them."""

from __future__ import annotations

import itertools
import time
import uuid
from collections.abc import Iterator
from typing import Any

import pytest
import redis
from kombu import Connection, Consumer

from regioncap.services import queue
from regioncap.services.backlog import Backlog, read_backlog, read_depths
from regioncap.services.broker import connect, server_time
from regioncap.services.claims import UNACKED
from regioncap.services.leases import UNACKED_INDEX, Leases
from regioncap.services.sender import Sender
from regioncap.services.silence import BEAT
from regioncap.settings import Settings
from tests.simulation.broker import Channel, DirectSender
from tests.simulation.valkey import Client, Server
from tests.support.jobs import a_job

JOB = a_job("20260101-000000-eeeeee")


@pytest.fixture
def settings(stack_settings: dict[str, str]) -> Settings:
    return Settings(**{**stack_settings, "visibility_timeout_s": 5})  # type: ignore[arg-type]


@pytest.fixture(params=["valkey", "memory"])
def client(request: pytest.FixtureRequest, settings: Settings) -> Iterator[redis.Redis]:
    if request.param == "memory":
        yield Client(Server(time.time))
        return
    with connect(settings) as client:
        client.flushdb()
        yield client
        client.flushdb()


@pytest.fixture
def channel(client: redis.Redis, settings: Settings) -> Channel:
    return Channel(client, settings, lambda: str(uuid.uuid4()))


@pytest.fixture
def sender(client: redis.Redis) -> DirectSender:
    tags = itertools.count()
    return DirectSender(client, lambda: f"tag-{next(tags)}")


def shards(channel: Channel) -> list[int]:
    """What is taken, in order, until nothing is left."""
    taken = iter(lambda: channel.take("render"), None)
    return [delivery.shard for delivery in taken if delivery]


def test_first_in_first_out(channel: Channel, sender: DirectSender) -> None:
    sender.render(JOB, [3, 1, 2])
    sender.caption(JOB, [9])

    assert shards(channel) == [3, 1, 2]
    delivery = channel.take("caption")
    assert delivery is not None
    assert (delivery.job, delivery.shard, delivery.queue) == (JOB.job, 9, "caption")
    assert not delivery.redelivered


def test_what_is_acknowledged_is_gone(
    channel: Channel, sender: DirectSender, client: redis.Redis
) -> None:
    sender.render(JOB, [1])
    delivery = channel.take("render")
    assert delivery is not None
    assert client.hkeys(UNACKED) == client.zrange(UNACKED_INDEX, 0, -1) == [delivery.tag]

    delivery.ack()

    assert not client.exists(UNACKED, UNACKED_INDEX)
    assert channel.take("render") is None


def test_what_is_given_back_comes_last(channel: Channel, sender: DirectSender) -> None:
    sender.render(JOB, [1, 2])
    first = channel.take("render")
    assert first is not None

    first.give_back()

    second, again = channel.take("render"), channel.take("render")
    assert second is not None
    assert again is not None
    assert (second.shard, again.shard) == (2, 1)
    assert (second.redelivered, again.redelivered) == (False, True)
    assert again.tag != first.tag  # a delivery has its own


def test_the_silent_lose_what_they_have_and_the_others_do_not(
    channel: Channel, sender: DirectSender, client: redis.Redis
) -> None:
    sender.render(JOB, [1, 2, 3])
    silent, renewed = channel.take("render"), channel.take("render")
    assert silent is not None
    assert renewed is not None
    ago_s = server_time(client) - 60
    client.zadd(UNACKED_INDEX, {silent.tag: ago_s, renewed.tag: ago_s})
    leases = Leases(client, 5)
    with leases.hold(renewed.tag):
        leases.renew()

    channel.sweep()
    assert client.llen("render") == 1  # nobody has looked before: Redis may have been silent
    client.hset(BEAT, "since", ago_s)
    channel.sweep()

    assert shards(channel) == [1, 3]  # at the head
    assert client.hexists(UNACKED, renewed.tag)


def test_backlog_and_depth_see_all_messages(
    channel: Channel, sender: DirectSender, client: redis.Redis
) -> None:
    sender.render(JOB, [1, 2])
    sender.caption(JOB, [5])
    channel.take("render")

    assert read_backlog(client, {"caption"}) == Backlog(
        {(JOB.job, 1), (JOB.job, 2)}, {(JOB.job, 5)}
    )
    depth = read_depths(client, ["render"])["render"]
    assert (depth.queued, depth.unacked) == (1, 1)
    assert depth.oldest_s > 0


@pytest.mark.parametrize("client", ["valkey"], indirect=True)
def test_what_celery_sends_is_taken(channel: Channel, settings: Settings) -> None:
    """As the version before this one did it."""
    told = {"job": JOB.job, "shard": 4}
    queue.make_app(settings).send_task(queue.RENDER_TASK, kwargs=told, queue="render")

    delivery = channel.take("render")

    assert delivery is not None
    assert (delivery.job, delivery.shard, delivery.queue) == (JOB.job, 4, "render")


@pytest.mark.parametrize("client", ["valkey"], indirect=True)
def test_what_is_sent_is_taken_by_celery(client: redis.Redis, settings: Settings) -> None:
    Sender(client, settings).render(JOB, [4])
    app = queue.make_app(settings)
    taken: list[tuple[Any, Any]] = []
    connection: Connection
    with app.connection_for_read() as connection:
        channel = connection.channel()
        with Consumer(
            channel, queues=[app.amqp.queues["render"]], callbacks=[lambda *m: taken.append(m)]
        ):
            connection.drain_events(timeout=10)
        ((body, message),) = taken
        message.ack()
    assert body[1] == {"job": JOB.job, "shard": 4}
    assert message.headers["task"] == queue.RENDER_TASK
