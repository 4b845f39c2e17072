"""Presence: a worker is listed while it tells that it lives, with what it does just now."""

from __future__ import annotations

from collections.abc import Iterator
from typing import Any

import pytest
import redis

from regioncap.services import presence
from regioncap.services.broker import connect
from regioncap.services.presence import Presence
from regioncap.settings import load_settings
from tests.support.rig import wait_until


@pytest.fixture
def client(stack_settings: dict[str, str]) -> Iterator[redis.Redis]:
    client = connect(load_settings(**stack_settings | {"broker_url": _other(stack_settings)}))
    client.flushdb()
    yield client
    client.flushdb()


def _other(settings: dict[str, str]) -> str:
    """A database of the same server in which no worker of another test is listed."""
    return settings["broker_url"].removesuffix("/0") + "/7"


def test_a_worker_is_listed_while_it_lives(client: redis.Redis) -> None:
    told = Presence(client, "caption", lambda: {"in_hand": [3]}, queue="caption.7b", model="m")
    told.start()
    wait_until(lambda: bool(presence.workers(client)))

    (worker,) = presence.workers(client)
    told.stop()

    assert {"kind": "caption", "queue": "caption.7b", "model": "m", "in_hand": [3]}.items() <= (
        worker.items()
    )
    assert presence.workers(client) == []
    assert not told.check()


def test_who_cannot_say_what_it_does_lives(client: redis.Redis) -> None:
    asked: list[int] = []

    def doing() -> dict[str, Any]:
        asked.append(1)
        raise RuntimeError("nobody knows")

    told = Presence(client, "render", doing)
    told.start()
    wait_until(lambda: bool(asked))
    told.stop()

    assert not told.check()


def test_a_job_waits_for_the_kinds_that_nobody_serves(client: redis.Redis) -> None:
    assert presence.unserved(client, "caption") == ["render", "caption"]
    render = Presence(client, "render")
    large = Presence(client, "caption", queue="caption.7b")
    for each in (render, large):
        each.start()
    wait_until(lambda: len(presence.workers(client)) == 2)

    assert presence.unserved(client, "caption.7b") == []
    assert presence.unserved(client, "caption") == ["caption"]

    for each in (render, large):
        each.stop()
    assert presence.unserved(client, "caption.7b") == ["render", "caption"]
