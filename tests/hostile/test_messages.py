"""What a producer may put into a queue beside our messages, and what comes of it: nothing."""

from __future__ import annotations

import base64
import gzip
import json
import logging
import tracemalloc
from collections.abc import Iterator
from typing import Any

import pytest
import redis
from hypothesis import given
from hypothesis import strategies as st
from kombu import Connection, Consumer

from regioncap.services import messages
from regioncap.services.backlog import Backlog, Depth, read_backlog, read_depths
from regioncap.services.broker import connect
from regioncap.services.claims import UNACKED
from regioncap.services.messages import Message, NoMessageError
from regioncap.services.queue import RENDER, RENDER_TASK, make_app
from regioncap.settings import Settings, load_settings
from tests.support.hostile_messages import HOSTILE, JOB, made, naming, text_of, with_body


@pytest.mark.parametrize("name", HOSTILE)
def test_it_is_no_message(name: str) -> None:
    with pytest.raises(NoMessageError) as caught:
        messages.parse(text_of(HOSTILE[name]), RENDER)
    assert "victim" not in str(caught.value)


def test_queues_of_remote_control_are_not_ours() -> None:
    ours = ["render", "caption", "caption.7b", "caption.a.b-c_d"]
    others = [
        "caption-0@host.celery.pidbox",
        "render@host.celery.pidbox",
        "caption\n",
        "celeryev.x",
    ]
    assert [messages.is_ours(queue) for queue in ours + others] == [True] * 4 + [False] * 4


def test_a_good_one_is_read() -> None:
    told = Message(RENDER_TASK, JOB, 3, is_redelivered=True)
    assert messages.parse(json.dumps(messages.dump(told, RENDER, "t")), RENDER) == told


_json = st.recursive(
    st.none() | st.booleans() | st.integers() | st.floats() | st.text(),
    lambda inner: st.lists(inner) | st.dictionaries(st.text(), inner),
)


@given(where=st.sampled_from(["body", "headers", "properties"]), value=_json)
def test_whatever_stands_in_it_it_is_read_or_refused(where: str, value: Any) -> None:
    for message in (made(**{where: value}), with_body(value, value, value), naming(value, value)):
        try:
            messages.parse(json.dumps(message), RENDER)
        except NoMessageError:
            continue


@pytest.fixture
def settings(stack_settings: dict[str, str]) -> Settings:
    return load_settings(**stack_settings)


@pytest.fixture
def client(settings: Settings) -> Iterator[redis.Redis]:
    client = connect(settings)
    client.flushdb()
    yield client
    client.flushdb()


@pytest.fixture
def taken(settings: Settings) -> Iterator[Any]:
    """What a consumer of Celery's gets, as a list; it is asked for by `taken(number)`."""
    app = make_app(settings)
    got: list[Any] = []
    connection: Connection
    with app.connection_for_read() as connection:
        channel = connection.channel()
        with Consumer(
            channel, queues=[app.amqp.queues[RENDER]], callbacks=[lambda *m: got.append(m)]
        ):

            def take(number: int, timeout_s: float = 10) -> list[Any]:
                while len(got) < number:
                    connection.drain_events(timeout=timeout_s)
                return got

            yield take


def test_the_next_message_is_taken_as_if_they_had_not_been_there(
    taken: Any, client: redis.Redis, caplog: pytest.LogCaptureFixture
) -> None:
    for message in HOSTILE.values():
        client.lpush(RENDER, text_of(message))
    headers = made()["headers"] | {"eta": "2099-01-01", "x": 1}
    client.lpush(RENDER, json.dumps(made(headers=headers)))
    with caplog.at_level(logging.WARNING, "regioncap"):
        ((body, message),) = taken(1)
    assert len(caplog.records) == len(HOSTILE)
    assert body[1] == {"job": JOB, "shard": 3}
    assert message.headers.keys() == {"lang", "task", "id"}
    assert message.delivery_tag != "tag"
    assert client.llen(RENDER) == 0
    assert client.hlen(UNACKED) == 1

    message.reject(requeue=True)

    (back,) = client.lrange(RENDER, 0, -1)
    assert messages.parse(back, RENDER) == Message(RENDER_TASK, JOB, 3, is_redelivered=True)
    assert set(client.scan_iter("*")) == {RENDER}
    taken(2)[1][1].ack()


def test_two_with_the_same_tag_are_two(taken: Any, client: redis.Redis) -> None:
    client.lpush(RENDER, *[json.dumps(made())] * 2)
    first, second = (message for _, message in taken(2))
    assert client.hlen(UNACKED) == 2
    first.ack()
    assert client.hkeys(UNACKED) == [second.delivery_tag]
    second.ack()


def test_what_is_packed_is_never_unpacked(client: redis.Redis, taken: Any) -> None:
    packed = gzip.compress(b" " * 50_000_000)
    headers = made()["headers"] | {"compression": "application/x-gzip"}
    client.lpush(RENDER, json.dumps(made(headers=headers, body=base64.b64encode(packed).decode())))
    client.lpush(RENDER, json.dumps(made()))
    tracemalloc.start()
    try:
        taken(1)[0][1].ack()
        assert tracemalloc.get_traced_memory()[1] < 5_000_000
    finally:
        tracemalloc.stop()


def test_a_queue_that_is_no_list_is_mended_while_workers_wait(
    taken: Any, client: redis.Redis, caplog: pytest.LogCaptureFixture
) -> None:
    client.set(RENDER, "x")
    with caplog.at_level(logging.WARNING, "regioncap"), pytest.raises(TimeoutError):
        taken(1, timeout_s=2)
    assert "a queue is a list" in caplog.text
    client.lpush(RENDER, json.dumps(made()))
    taken(1)[0][1].ack()


def test_a_queue_that_is_no_list_is_mended_by_who_starts(
    client: redis.Redis, settings: Settings
) -> None:
    client.sadd(RENDER, "x")
    client.set("_kombu.binding.render", "x")
    make_app(settings).send_task(RENDER_TASK, kwargs={"job": JOB, "shard": 0}, queue=RENDER)
    assert client.llen(RENDER) == 1


def test_the_backlog_reads_over_them(client: redis.Redis) -> None:
    for message in [made(), *HOSTILE.values()]:
        client.rpush(RENDER, text_of(message))
    assert read_backlog(client, {"caption"}) == Backlog({(JOB, 3)}, set())
    assert read_depths(client, [RENDER])[RENDER].queued == len(HOSTILE) + 1
    client.delete(RENDER)
    client.set(RENDER, "x")
    assert read_depths(client, [RENDER])[RENDER] == Depth(0, 0, 0.0)
    assert read_backlog(client, {"caption"}) == Backlog(set(), set())
