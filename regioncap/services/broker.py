"""The broker: a client of the Redis that carries the queue, and what goes wrong with it."""

from __future__ import annotations

import time
from collections.abc import Callable, Iterator
from contextlib import contextmanager
from typing import Any

import redis
from redis.backoff import NoBackoff
from redis.retry import Retry

from regioncap.errors import QueueError
from regioncap.parallel import REAL
from regioncap.services.reasons import is_certificate, is_tls, reason
from regioncap.settings import Settings

#: Longest wait for a Redis that reads its data back.
LOADING_S = 120.0
_LOOK_S = 1.0
#: More than threads ask at a time: a caption worker has up to 256 shards in hand. Beyond it what is
#: asked would fail at once, as redis-py does not wait for a connection.
_CONNECTIONS = 512
#: What servers of a cluster say to who takes them for one server.
_CLUSTER = (
    redis.exceptions.ClusterError,
    redis.exceptions.AskError,
    redis.exceptions.ClusterCrossSlotError,
    redis.exceptions.RedisClusterException,
)


def address(settings: Settings) -> str:
    """Where Redis is, as both of its clients here are told.

    With TLS its certificate is checked unless the setting says otherwise; by itself redis-py checks
    it, and kombu does not.
    """
    url = settings.broker_url.get_secret_value()
    if not url.startswith("rediss://") or "ssl_cert_reqs=" in url:
        return url
    return f"{url}{'&' if '?' in url else '?'}ssl_cert_reqs=required"


def connect(settings: Settings, *, patient: bool = True, timeout_s: float = 10) -> redis.Redis:
    """A client of the Redis that carries the queue.

    Args:
        settings: Where it is.
        patient: Whether it waits for a server that is slow to accept; else it tells soon. No
            command is tried again: it may have been carried out.
        timeout_s: Longest wait for a connection or an answer.
    """
    return redis.Redis.from_url(
        address(settings),
        socket_timeout=timeout_s,
        socket_connect_timeout=min(timeout_s, 5 if patient else 3),
        retry=Retry(NoBackoff(), 0),
        max_connections=_CONNECTIONS,
        health_check_interval=25,
        decode_responses=True,
        # Others may write, too, and what is no text is none of ours.
        encoding_errors="replace",
    )


def memory_ratio(client: redis.Redis) -> float | None:
    """Share of Redis's memory that is used, 0 to 1; None if it has no limit."""
    with queue_errors():
        info: Any = client.info("memory")
    limit = int(info.get("maxmemory", 0))
    return int(info["used_memory"]) / limit if limit else None


def check_server(client: redis.Redis) -> None:
    """Returns if the server is of a kind that can carry the queue.

    Raises:
        QueueError: It is one of a cluster (`queue-cluster`) or a replica (`queue-read-only`); or
            Redis is away.
    """
    with queue_errors():
        try:
            told: Any = client.info("cluster") | client.info("replication")
        except redis.exceptions.NoPermissionError:
            return  # then what comes next tells
    if told.get("cluster_enabled"):
        raise _no_cluster()
    if told.get("role") in {"slave", "replica"}:
        raise _read_only()


def await_loaded(
    client: redis.Redis, on_wait: Callable[[], None] = lambda: None, *, limit_s: float = LOADING_S
) -> None:
    """Waits while Redis reads its data back; whatever else is wrong with it, others tell.

    Args:
        client: The Redis that carries the queue.
        on_wait: Called once, if it is to be waited for.
        limit_s: The longest wait.
    """
    deadline = time.monotonic() + limit_s
    told = False
    while time.monotonic() < deadline:
        try:
            client.ping()
        except redis.exceptions.BusyLoadingError:
            if not told:
                on_wait()
            told = True
            REAL.sleep(_LOOK_S)
        except (redis.exceptions.RedisError, OSError):
            return
        else:
            return


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
            "Redis refuses the user or the password",
            code="queue-refused",
            hint="check REGIONCAP_BROKER_URL: redis://USER:PASSWORD@HOST:PORT/0",
        ) from error
    except redis.exceptions.NoPermissionError as error:
        raise QueueError(
            f"Redis does not let this user do what is needed: {_first_line(error)}",
            code="queue-refused",
            hint="give the user the rights of its role, as in deploy/security/redis",
        ) from error
    except redis.exceptions.ReadOnlyError as error:
        raise _read_only() from error
    except redis.exceptions.BusyLoadingError as error:
        raise QueueError(
            "Redis is reading its data back and does not answer yet",
            hint="wait: workers do, and nothing is lost",
        ) from error
    except _CLUSTER as error:
        raise _no_cluster() from error
    except (redis.exceptions.RedisError, OSError) as error:
        raise QueueError(
            f"Redis cannot be reached ({reason(error)})", hint=_hint_of(error)
        ) from error


def is_wrong_type(error: BaseException | None) -> bool:
    """Whether Redis refuses since a key holds something of another type than is asked for."""
    # Out of a script the word stands behind what Redis says of that.
    return isinstance(error, redis.exceptions.ResponseError) and "WRONGTYPE" in str(error)


def answers_of(pipe: Any) -> list[Any]:
    """A pipeline's answers; None for a key of another type than is asked for.

    Raises:
        RedisError: Anything else is wrong.
    """
    answers = pipe.execute(raise_on_error=False)
    for answer in answers:
        if isinstance(answer, Exception) and not is_wrong_type(answer):
            raise answer
    return [None if isinstance(answer, Exception) else answer for answer in answers]


def _no_cluster() -> QueueError:
    return QueueError(
        "Redis is in cluster mode, which cannot carry the queue: its commands touch several keys"
        " at once, which a cluster keeps on different servers",
        code="queue-cluster",
        hint="use one with cluster mode off (it may have replicas), of 6.2 or newer",
    )


def _read_only() -> QueueError:
    return QueueError(
        "Redis is a replica, which takes no writes",
        code="queue-read-only",
        hint="name the primary in REGIONCAP_BROKER_URL; during a failover, try again in a moment",
    )


def _hint_of(error: BaseException) -> str:
    if is_certificate(error):
        return (
            "name the authority's certificate in REGIONCAP_BROKER_URL: "
            "rediss://...?ssl_ca_certs=/path/ca.pem"
        )
    if is_tls(error):
        return "does it speak TLS there? redis:// is without, rediss:// with"
    return (
        "is it up, and is TLS as it wants it (rediss://)? `regioncap doctor` checks;"
        " REGIONCAP_BROKER_URL names it"
    )


def _first_line(error: BaseException) -> str:
    return (str(error).splitlines() or [""])[0][:200]


def server_time(client: redis.Redis) -> float:
    """The clock of Redis, in seconds since the epoch."""
    seconds, micros = client.time()
    return int(seconds) + int(micros) / 1e6
