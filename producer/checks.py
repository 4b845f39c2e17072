"""Checks of what RegionCap needs: Redis, the store, workers; for `regioncap doctor`.

Each check looks at one thing and says what it found and, if that is not well, what to do.
"""

from __future__ import annotations

import secrets
import time
from collections.abc import Callable, Iterator
from contextlib import contextmanager
from datetime import UTC, datetime
from typing import Any, Literal, NamedTuple, ParamSpec

import PIL
import redis
from PIL import features

from regioncap.errors import RegionCapError
from regioncap.packages import is_installed
from regioncap.services import presence
from regioncap.services.backlog import read_depths
from regioncap.services.broker import check_server, connect, queue_errors
from regioncap.services.claims import UNACKED
from regioncap.services.store import Store
from regioncap.settings import Settings
from regioncap.views import formats

P = ParamSpec("P")

_MIN_REDIS = (6, 2)
_MAX_SKEW_S = 5.0


class Check(NamedTuple):
    """One finding."""

    name: str
    status: Literal["ok", "warn", "fail", "skip"]
    #: What was found.
    what: str
    #: What to do; empty if it is fine.
    remedy: str = ""


def run_checks(settings: Settings) -> Iterator[Check]:
    """All checks that fit the settings, one after the other; none raises."""
    client = connect(settings, patient=False)
    redis_ = _run("redis", _redis, client)
    yield redis_
    if redis_.status == "fail":
        yield Check("workers, queues", "skip", "Redis, which tells of them, is away")
    else:
        yield _run("redis persistence", _persistence, client)
        yield _run("redis memory", _memory, client)
        yield _run("clock", _clock, client)
        yield _run("render workers", _workers, client, "render", "render")
        yield _run("caption workers", _workers, client, "caption", settings.queue)
        yield _run("queues", _queues, client, settings)
    store = _run("store", _store, settings)
    yield store
    if store.status != "fail":
        yield _run("store conditions", _conditions, settings)
    yield _run("pictures", _pictures)


def check_engine(settings: Settings) -> Check:
    """Asks the server of the engine openai for the model."""
    from regioncap.engines import preflight

    return _run("engine", lambda: Check("", "ok", preflight.check(settings)))


def _run(name: str, check: Callable[P, Check], *args: P.args, **kwargs: P.kwargs) -> Check:
    try:
        with queue_errors():
            return check(*args, **kwargs)._replace(name=name)
    except RegionCapError as error:
        return Check(name, "fail", error.message, error.hint)


def _info(client: redis.Redis, section: str) -> dict[str, Any]:
    info: dict[str, Any] = client.info(section)
    return info


def _redis(client: redis.Redis) -> Check:
    info = _info(client, "server")
    name = "Valkey" if "valkey_version" in info else "Redis"
    version = str(info.get("valkey_version") or info["redis_version"])
    numbers = tuple(int(part) for part in version.split(".")[:2])
    if numbers < _MIN_REDIS:
        return Check("", "fail", f"{name} {version} is too old", "use 6.2 or newer")
    check_server(client)
    return Check("", "ok", f"{name} {version}")


def _persistence(client: redis.Redis) -> Check:
    if _info(client, "persistence").get("aof_enabled"):
        return Check("", "ok", "append-only file on")
    return Check(
        "",
        "warn",
        "append-only file off: when Redis starts anew, work waits until a janitor has queued it"
        " again from the store, up to 1.5 visibility timeouts; nothing is lost",
        "set appendonly yes and appendfsync everysec; where a managed Redis cannot, it is fine",
    )


def _memory(client: redis.Redis) -> Check:
    info = _info(client, "memory")
    used, limit = int(info["used_memory"]), int(info.get("maxmemory", 0))
    policy = str(info.get("maxmemory_policy", "noeviction"))
    what = f"{used / 1e6:.0f} MB used" + (f" of {limit / 1e6:.0f} MB" if limit else "")
    if policy != "noeviction":
        return Check(
            "",
            "fail",
            f"policy {policy} may drop queued work",
            "set maxmemory-policy noeviction; of a managed Redis, in its parameter group",
        )
    if limit and used > 0.7 * limit:
        return Check("", "warn", what, "raise maxmemory")
    return Check("", "ok", f"{what}, policy {policy}")


def _clock(client: redis.Redis) -> Check:
    seconds, micros = client.time()
    skew_s = time.time() - (int(seconds) + int(micros) / 1e6)
    what = f"{abs(skew_s):.1f} s apart from Redis"
    if abs(skew_s) > _MAX_SKEW_S:
        return Check("", "warn", what, "let NTP set the clocks: leases are kept by time")
    return Check("", "ok", what)


def _store(settings: Settings) -> Check:
    store = Store(settings, attempts=1)
    store.reach()
    store.check()
    with _object(store) as (key, data):
        found = store.get(key)
    if found != data:
        return Check("", "fail", "an object read back differs from what was written", "")
    if store.exists(key):
        return Check("", "fail", "a deleted object is still there", "use a consistent store")
    where = f"{store.uri('').rstrip('/')} at {store.endpoint}"
    signed = f"signed by {store.signed_by}" if store.signed_by else "not signed"
    return Check("", "ok", f"{where}: put, get and delete work, {signed}")


def _conditions(settings: Settings) -> Check:
    """Whether the first write wins: that no result is ever replaced rests on it."""
    store = Store(settings, attempts=1)
    with _object(store) as (key, data):
        holds = store.conditions(key, data)
    ignored = [
        name for name, kept in zip(("If-None-Match", "If-Match"), holds, strict=True) if not kept
    ]
    if not ignored:
        return Check("", "ok", "conditions of writes hold")
    return Check(
        "",
        "warn",
        f"the store does not hold to {' and '.join(ignored)}: that the first write wins is not"
        " sure, where two workers do one shard",
        "see docs/stores.md for what that means; a store that holds to them is safer",
    )


@contextmanager
def _object(store: Store) -> Iterator[tuple[str, bytes]]:
    """An object of our own, for as long as the block runs."""
    key, data = f"doctor/{secrets.token_hex(8)}", datetime.now(UTC).isoformat().encode()
    store.put(key, data)
    try:
        yield key, data
    finally:
        store.delete(key)


def _formats() -> list[str]:
    """The formats of pictures that can be read here."""
    read = formats.READ.items()
    return [name for name, each in read if not each.package or is_installed(each.package)]


def _pictures() -> Check:
    missing = [name for name in ("jpg", "zlib", "webp", "freetype2") if not features.check(name)]
    if missing:
        return Check("", "fail", f"Pillow is built without {', '.join(missing)}", "reinstall it")
    return Check("", "ok", f"Pillow {PIL.__version__} reads {', '.join(_formats())}")


def _workers(client: redis.Redis, kind: str, queue: str) -> Check:
    alive = presence.serving(client, kind, queue)
    if not alive:
        command = presence.start_command(kind, queue)
        return Check("", "fail", f"none on queue {queue}", f"start one: {command}")
    engines = sorted({f"{w['engine']} ({w.get('model')})" for w in alive if "engine" in w})
    return Check("", "ok", f"{len(alive)} on queue {queue}" + "".join(f", {e}" for e in engines))


def _queues(client: redis.Redis, settings: Settings) -> Check:
    found = read_depths(client, ["render", settings.queue])
    depths = ", ".join(
        f"{name} {depth.queued + depth.due + depth.paused}" for name, depth in found.items()
    )
    held_back = sum(depth.waiting for depth in found.values())
    text = f"waiting shards: {depths}; in hand: {client.hlen(UNACKED)}; held back: {held_back}"
    return Check("", "ok", text)
