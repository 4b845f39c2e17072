"""The broker: a client of the Redis that carries the queue, and what goes wrong with it."""

from __future__ import annotations

from collections.abc import Iterator
from contextlib import contextmanager
from typing import Any

import redis
from kombu.exceptions import OperationalError
from redis.backoff import NoBackoff
from redis.retry import Retry

from regioncap.errors import QueueError
from regioncap.settings import Settings


def connect(settings: Settings, *, patient: bool = True) -> redis.Redis:
    """A client of the Redis that carries the queue.

    Args:
        settings: Where it is.
        patient: Whether lost connections are tried again; else they fail within seconds.
    """
    options: dict[str, Any] = {} if patient else {"retry": Retry(NoBackoff(), 0)}
    return redis.Redis.from_url(
        settings.broker_url.get_secret_value(),
        socket_timeout=10,
        socket_connect_timeout=5 if patient else 3,
        **options,
        health_check_interval=25,
        decode_responses=True,
    )


def memory_ratio(client: redis.Redis) -> float | None:
    """Share of Redis's memory that is used, 0 to 1; None if it has no limit."""
    with queue_errors():
        info: Any = client.info("memory")
    limit = int(info.get("maxmemory", 0))
    return int(info["used_memory"]) / limit if limit else None


@contextmanager
def queue_errors() -> Iterator[None]:
    """Says in our words that Redis cannot be reached or refuses."""
    try:
        yield
    except redis.exceptions.OutOfMemoryError as error:
        raise QueueError(
            "Redis has no memory left",
            code="queue-full",
            hint="raise its maxmemory; nothing is lost, the work goes on when there is room",
        ) from error
    except redis.exceptions.AuthenticationError as error:
        raise QueueError(
            "Redis refuses the password", code="queue-refused", hint="check REGIONCAP_BROKER_URL"
        ) from error
    except (redis.exceptions.RedisError, OSError) as error:
        raise QueueError(
            f"Redis cannot be reached ({type(error).__name__})",
            hint="is it up? `regioncap doctor` checks; REGIONCAP_BROKER_URL names it",
        ) from error


@contextmanager
def broker_errors() -> Iterator[None]:
    """Says in our words that Redis cannot be reached, for calls that go through Celery."""
    try:
        yield
    except OperationalError as error:
        with queue_errors():
            # kombu wraps what redis-py raised; that says more.
            raise error.__cause__ or OSError(str(error)) from None
