"""What is relied on of kombu's and Celery's insides; a new version that moves it turns this red."""

from __future__ import annotations

import inspect
import time
from collections.abc import Iterator
from functools import partial
from types import SimpleNamespace
from typing import Any

import pytest
import redis
from celery.worker.request import Request
from kombu import Connection, Consumer
from kombu.transport import redis as kombu_redis

from regioncap.services.backlog import read_backlog
from regioncap.services.broker import connect, server_time
from regioncap.services.claims import UNACKED
from regioncap.services.leases import UNACKED_INDEX, Leases, ServerTimeQoS
from regioncap.services.queue import make_app
from regioncap.services.sender import Sender
from regioncap.services.silence import BEAT
from regioncap.settings import Settings
from tests.support.jobs import a_job

JOB = "20260101-000000-eeeeee"


@pytest.fixture
def settings(stack_settings: dict[str, str]) -> Settings:
    return Settings(**{**stack_settings, "visibility_timeout_s": 5})  # type: ignore[arg-type]


@pytest.fixture
def client(settings: Settings) -> Iterator[redis.Redis]:
    client = connect(settings)
    client.flushdb()
    yield client
    client.flushdb()


@pytest.fixture
def channel(settings: Settings, client: redis.Redis) -> Iterator[Any]:
    """A channel that has taken one of two messages."""
    app = make_app(settings)
    Sender(client, settings).render(a_job(JOB), [3, 4])
    connection: Connection
    with app.connection_for_read() as connection:
        channel = connection.channel()
        channel.basic_qos(0, 1, False)
        with Consumer(channel, queues=[app.amqp.queues["render"]], callbacks=[lambda *_: None]):
            connection.drain_events(timeout=10)
            yield channel


def test_messages_in_hand_lie_under_the_names_that_are_relied_on(
    channel: Any, client: redis.Redis
) -> None:
    assert (channel.unacked_key, channel.unacked_index_key) == (UNACKED, UNACKED_INDEX)
    (tag,) = channel.qos._delivered
    assert client.hkeys(UNACKED) == client.zrange(UNACKED_INDEX, 0, -1) == [tag]


def test_a_lease_moves_the_time_and_never_revives(channel: Any, client: redis.Redis) -> None:
    (tag,) = channel.qos._delivered
    client.zadd(UNACKED_INDEX, {tag: 1.0})
    leases = Leases(client, 5)
    with leases.hold(tag), leases.hold("acknowledged"):
        leases.renew()
    score: Any = client.zscore(UNACKED_INDEX, tag)
    assert abs(score - server_time(client)) < 60
    assert client.zscore(UNACKED_INDEX, "acknowledged") is None


def test_the_backlog_sees_what_waits_and_what_is_in_hand(channel: Any, client: redis.Redis) -> None:
    assert client.llen("render") == 1
    assert read_backlog(client, {"caption"}).render == {(JOB, 3), (JOB, 4)}


def test_give_back_puts_a_message_into_its_queue(channel: Any, client: redis.Redis) -> None:
    (tag,) = list(channel.qos._delivered)
    channel.qos.restore_by_tag(tag)
    channel.qos.restore_by_tag(tag)
    assert client.llen("render") == 2
    assert not client.exists(UNACKED, UNACKED_INDEX)


def test_a_lost_connection_ends_no_worker(
    channel: Any, client: redis.Redis, monkeypatch: pytest.MonkeyPatch
) -> None:
    with monkeypatch.context() as lost:
        channel._disconnect_pools()
        lost.setattr(channel.connection, "client", None)
        (tag,) = channel.qos._delivered
        channel.qos.ack(tag)
        channel.qos.reject(tag, requeue=True)
        channel.qos.restore_unacked()
    assert client.hlen(UNACKED) == 1
    channel.qos.restore_unacked()
    assert client.hlen(UNACKED) == 0


@pytest.mark.parametrize("end", ["ack", "reject"])
def test_a_message_whose_end_redis_is_not_told_makes_room_for_another(
    channel: Any, monkeypatch: pytest.MonkeyPatch, end: str
) -> None:
    (tag,) = channel.qos._delivered
    assert not channel.qos.can_consume()
    with monkeypatch.context() as away:
        away.setattr(channel, "conn_or_acquire", _refuse)
        with pytest.raises(redis.exceptions.ConnectionError):
            {"ack": channel.qos.ack, "reject": partial(channel.qos.reject, requeue=True)}[end](tag)
    assert channel.qos.can_consume()


def hear(client: redis.Redis, silent_s: float = 0.0) -> None:
    """Has somebody have looked for abandoned messages for long, and last so long ago."""
    now = server_time(client)
    client.hset(BEAT, mapping={"since": now - 1000, "last": now - silent_s})


def _refuse(*_: Any) -> None:
    raise redis.exceptions.ConnectionError("refused")


@pytest.mark.parametrize("ahead_s", [-120.0, 120.0])
def test_another_clock_takes_nobody_s_message(
    channel: Any, client: redis.Redis, monkeypatch: pytest.MonkeyPatch, ahead_s: float
) -> None:
    assert isinstance(channel.qos, ServerTimeQoS)
    real = time.time
    monkeypatch.setattr(kombu_redis, "time", lambda: real() + ahead_s)
    monkeypatch.setattr(time, "time", lambda: real() + ahead_s)
    (tag,) = channel.qos._delivered
    hear(client)
    channel.qos.restore_visible(interval=1)
    assert client.llen("render") == 1
    client.zadd(UNACKED_INDEX, {tag: server_time(client) - 60})
    channel.qos.restore_visible(interval=1)
    assert client.llen("render") == 2


def test_after_a_silence_leases_are_renewed_before_anything_is_given_away(
    channel: Any, client: redis.Redis
) -> None:
    (tag,) = channel.qos._delivered
    client.zadd(UNACKED_INDEX, {tag: server_time(client) - 60})
    for silent_s in (None, 30.0):
        if silent_s is None:
            client.delete(BEAT)
        else:
            hear(client, silent_s)
        for _ in range(3):
            channel.qos.restore_visible(interval=1)
        assert client.llen("render") == 1
    leases = Leases(client, 5)
    with leases.hold(tag):
        leases.renew()
    hear(client)
    channel.qos.restore_visible(interval=1)
    assert client.llen("render") == 1


def test_delivery_by_a_clock_behind_is_noted_by_the_clock_of_redis(
    channel: Any, client: redis.Redis, monkeypatch: pytest.MonkeyPatch
) -> None:
    real = time.time
    monkeypatch.setattr(kombu_redis, "time", lambda: real() - 120)
    monkeypatch.setattr(time, "time", lambda: real() - 120)
    channel.qos.restore_visible(interval=1)
    message = SimpleNamespace(
        delivery_info={"exchange": "", "routing_key": "render"}, _raw={}, delivery_tag="t"
    )
    channel.qos.append(message, "t")
    score: Any = client.zscore(UNACKED_INDEX, "t")
    assert abs(score - server_time(client)) < 60
    channel.qos._delivered.pop("t")


def test_celery_gives_back_what_ran_out_of_time_or_lost_its_process(settings: Settings) -> None:
    conf = make_app(settings).conf
    assert conf.task_acks_late
    assert conf.task_acks_on_timeout is False
    assert conf.task_reject_on_worker_lost
    source = inspect.getsource(Request.on_timeout)
    assert "acks_on_timeout" in source
    assert "reject(requeue=True)" in source
