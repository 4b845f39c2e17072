"""The channel: kombu's connection to Redis, which here accepts our messages alone.

What is overridden are private methods of kombu; a contract test pins them.
"""

from __future__ import annotations

import logging
from collections.abc import Callable, Iterable
from queue import Empty
from typing import Any, ClassVar

import redis
from kombu.transport import redis as kombu_redis

from regioncap.services import messages
from regioncap.services.leases import ServerTimeQoS

_log = logging.getLogger(__name__)


class CheckedClient(redis.Redis):
    """A client that hands on, of what it takes out of queues, our messages alone."""

    def parse_response(self, connection: Any, command_name: str, **options: Any) -> Any:
        """An answer; a BRPOP that brings no message of ours says that the queue is empty."""
        answer = super().parse_response(connection, command_name, **options)  # type: ignore[no-untyped-call]
        if command_name != "BRPOP" or not answer:
            return answer
        key, text = answer
        queue = key.decode()
        if not messages.is_ours(queue):
            return answer
        try:
            message = messages.parse(text, queue)
        except messages.NoMessageError as error:
            _log.warning("dropped from queue %s, being no message: %s", queue, error)
            return None
        # A tag of this delivery's own: one that a producer chose could be another message's.
        return key, messages.new_text(message, queue).encode()


class Channel(kombu_redis.Channel):  # type: ignore[misc]  # kombu carries no types
    """kombu's channel, for queues in which anything may lie, and which may be no lists."""

    QoS = ServerTimeQoS
    #: All our messages have the same: a queue is one list.
    priority_steps = (0,)
    #: Whether this process takes a further message, besides Celery's own limit.
    has_room: ClassVar[Callable[[], bool]] = staticmethod(lambda: True)

    def _get_client(self) -> type[redis.Redis]:
        return CheckedClient

    def _brpop_read(self, **options: Any) -> Any:
        try:
            return super()._brpop_read(**options)
        except redis.exceptions.ResponseError as error:
            if not messages.is_no_list(error):
                raise
            self._mend(self.active_queues)
            raise Empty from error

    def _new_queue(self, queue: str, auto_delete: bool = False, **kwargs: Any) -> None:
        super()._new_queue(queue, auto_delete, **kwargs)
        if messages.is_ours(queue):
            self._mend([queue])

    def _queue_bind(self, exchange: str, routing_key: str, pattern: str, queue: str) -> None:
        # Our messages go to their queue by its name. Without kombu's table of bindings there is no
        # key that says where else they should go, and producers need write to none.
        if not messages.is_ours(queue):
            super()._queue_bind(exchange, routing_key, pattern, queue)

    def _mend(self, queues: Iterable[str]) -> None:
        """Removes keys of queues that are no lists: nothing could be put there, or taken."""
        with self.conn_or_acquire() as client:
            for queue in filter(messages.is_ours, queues):
                kind = client.type(queue).decode()
                if kind in ("list", "none"):
                    continue
                try:
                    client.delete(queue)
                except redis.exceptions.NoPermissionError:
                    continue  # a producer: the workers do it
                _log.warning("removed key %s: a queue is a list, and it was a %s", queue, kind)


def take_while(has_room: Callable[[], bool]) -> None:
    """Has this process take messages only while there is room for what they ask."""
    Channel.has_room = staticmethod(has_room)


def use_channel() -> None:
    """Makes all of Celery's connections to Redis in this process use this channel."""
    kombu_redis.Transport.Channel = Channel
