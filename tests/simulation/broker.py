"""The queue in memory: kombu's own bookkeeping, on one client of Redis and without its sockets.

What is left out of kombu is how it waits for messages; a simulated worker asks for them instead.
"""

from __future__ import annotations

import base64
import json
from collections.abc import Callable, Iterable, Iterator
from contextlib import contextmanager
from types import SimpleNamespace
from typing import Any

import redis
from kombu.transport import redis as kombu_redis

from regioncap.job import Job
from regioncap.services.leases import ServerTimeQoS
from regioncap.services.queue import CAPTION_TASK, RENDER, RENDER_TASK, transport_options
from regioncap.settings import Settings


class Channel(kombu_redis.Channel):  # type: ignore[misc]  # kombu carries no types
    """kombu's channel, asked for messages one by one.

    Args:
        client: The Redis that carries the queue.
        settings: The visibility timeout.
        new_tag: Gives each delivery a name of its own, as `CheckedClient` does.
    """

    QoS = ServerTimeQoS
    #: All our messages have the same.
    priority_steps = (0,)

    def __init__(self, client: redis.Redis, settings: Settings, new_tag: Callable[[], str]) -> None:
        # Not the base class's, which connects.
        self._client = client
        self._new_tag = new_tag
        self.connection = SimpleNamespace(client=client)
        self._expires: dict[str, int] = {}
        self._qos = self.QoS(self)
        self._qos._on_collect.cancel()  # nothing is given back when the interpreter ends
        self._closed = True
        options = transport_options(settings)
        self.visibility_timeout = options["visibility_timeout"]
        self.unacked_mutex_expire = options["unacked_mutex_expire"]
        self.restore_every_s = float(options["unacked_restore_interval"])

    @contextmanager
    def conn_or_acquire(self, client: redis.Redis | None = None) -> Iterator[redis.Redis]:
        """The client."""
        yield client or self._client

    def take(self, queue: str) -> Delivery | None:
        """The next message, which is in hand from now on; None if none waits."""
        message = self.basic_get(queue)
        return None if message is None else Delivery(self, message)

    def _get(self, queue: str) -> Any:
        message = super()._get(queue)
        message["properties"]["delivery_tag"] = self._new_tag()
        return message

    def sweep(self) -> None:
        """Gives back what workers that are silent have in hand."""
        self.qos.restore_visible(num=None, interval=1)


class Delivery:
    """A message in hand."""

    def __init__(self, channel: Channel, message: Any) -> None:
        self._channel = channel
        self.tag: str = message.delivery_tag
        self.queue: str = message.delivery_info["routing_key"]
        self.redelivered = bool(message.headers.get("redelivered"))
        _, kwargs, _ = json.loads(message.body)
        self.task: str = message.headers["task"]
        self.job: str = kwargs["job"]
        self.shard: int = kwargs["shard"]

    def ack(self) -> None:
        """It is dealt with."""
        self._channel.basic_ack(self.tag)

    def give_back(self) -> None:
        """Puts it to the end of its queue."""
        self._channel.basic_reject(self.tag, requeue=True)


class DirectSender:
    """Sends as the version before did, without Celery: all at once, straight into the queue.

    Args:
        client: The Redis that carries the queue.
        new_tag: Gives each message a name of its own.
    """

    def __init__(self, client: redis.Redis, new_tag: Callable[[], str]) -> None:
        self._client = client
        self._new_tag = new_tag

    def render(self, job: Job, shards: Iterable[int]) -> None:
        """Asks for the render stage of shards."""
        self._send(RENDER_TASK, RENDER, job, shards)

    def caption(self, job: Job, shards: Iterable[int]) -> None:
        """Asks for the caption stage of shards."""
        self._send(CAPTION_TASK, job.settings.queue, job, shards)

    def _send(self, task: str, queue: str, job: Job, shards: Iterable[int]) -> None:
        for shard in shards:
            message = make_message(task, queue, job.job, shard, self._new_tag())
            self._client.lpush(queue, json.dumps(message))


def make_message(task: str, queue: str, job: str, shard: int, tag: str) -> dict[str, Any]:
    """What Celery sends, down to what is read of it again."""
    body = json.dumps([[], {"job": job, "shard": shard}, {}])
    return {
        "body": base64.b64encode(body.encode()).decode(),
        "content-encoding": "utf-8",
        "content-type": "application/json",
        "headers": {"task": task, "id": tag},
        "properties": {
            "body_encoding": "base64",
            "delivery_info": {"exchange": "", "routing_key": queue},
            "delivery_tag": tag,
            "priority": 0,
        },
    }
