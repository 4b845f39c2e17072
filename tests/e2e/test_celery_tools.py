"""Celery's own tools beside the system: `celery inspect`, and Flower."""

from __future__ import annotations

import json
import subprocess
import sys
import urllib.request
from collections.abc import Iterator
from contextlib import contextmanager
from pathlib import Path
from typing import Any

import pytest
from kombu import Consumer

from regioncap.local import LocalStack
from regioncap.local.files import free_ports
from regioncap.services.broker import connect, server_time
from regioncap.services.queue import make_app
from regioncap.services.sender import Sender
from regioncap.settings import Settings, load_settings
from tests.support.jobs import a_job
from tests.support.rig import ROOT, Rig, wait_until

pytestmark = pytest.mark.more

#: Longer than what kombu takes where nobody tells it: 3600.
TIMEOUT_S = 7200
APP = ["-A", "workers.caption"]


@pytest.fixture
def listening(stack: LocalStack, settings: Settings, tmp_path: Path) -> Iterator[dict[str, str]]:
    """The environment of a worker that listens to remote control."""
    rig = Rig(stack, tmp_path / "rig")
    rig.use_broker(settings.broker_url.get_secret_value())
    rig.start_ready("caption", remote_control="true")
    yield rig.environment()
    rig.stop()


def test_inspect_tells_what_workers_are_at(listening: dict[str, str], tmp_path: Path) -> None:
    argv = [sys.executable, "-m", "celery", *APP, "inspect", "active_queues", "--json"]
    told = subprocess.run(argv, env=listening, cwd=tmp_path, capture_output=True, check=False)
    assert told.returncode == 0, told.stderr.decode()
    (queues,) = json.loads(told.stdout).values()
    assert [queue["name"] for queue in queues] == ["caption"]


@contextmanager
def _flower(app: list[str], env: dict[str, str], folder: Path) -> Iterator[str]:
    """Flower, as soon as it is there; its address."""
    (port,) = free_ports(1)
    argv = [sys.executable, "-m", "celery", *app, "flower", f"--port={port}", "--address=127.0.0.1"]
    env = env | {"PYTHONPATH": str(ROOT), "FLOWER_UNAUTHENTICATED_API": "1"}
    address = f"http://127.0.0.1:{port}"
    process = subprocess.Popen(argv, env=env, cwd=folder, stderr=subprocess.DEVNULL)
    try:
        wait_until(lambda: process.poll() is not None or _get(f"{address}/healthcheck") == b"OK")
        assert process.poll() is None
        yield address
    finally:
        process.terminate()
        process.wait(60)


def _get(address: str) -> bytes:
    try:
        with urllib.request.urlopen(address, timeout=30) as answer:
            return bytes(answer.read())
    except OSError:
        return b""


def test_flower_sees_the_workers(listening: dict[str, str], tmp_path: Path) -> None:
    with _flower(APP, listening, tmp_path) as address:
        wait_until(lambda: b"caption" in _get(f"{address}/api/workers?refresh=1"))


@pytest.fixture
def settings(stack_settings: dict[str, str]) -> Settings:
    """A database of its own, where no other test's worker gives anything back."""
    given = stack_settings
    broker_url = given["broker_url"].removesuffix("/0") + "/1"
    return load_settings(**given | {"broker_url": broker_url}, visibility_timeout_s=TIMEOUT_S)


@pytest.fixture
def in_hand(settings: Settings) -> Iterator[Any]:
    """Redis, with a shard that has been with a worker for longer than kombu's own timeout."""
    client = connect(settings)
    client.flushdb()
    app = make_app(settings)
    Sender(client, settings).render(a_job("20260101-000000-eeeeee"), [3])
    with app.connection_for_read() as connection:
        channel = connection.channel()
        queues = [app.amqp.queues["render"]]
        with Consumer(channel, queues=queues, callbacks=[lambda *_: None]):
            connection.drain_events(timeout=10)
            tag: Any = client.zrange("unacked_index", 0, -1)[0]
            client.zadd("unacked_index", {tag: server_time(client) - TIMEOUT_S + 3000})
            yield client
    client.flushdb()


def test_flower_with_the_app_leaves_shards_with_their_workers(
    settings: Settings, in_hand: Any, settings_env: dict[str, str], tmp_path: Path
) -> None:
    broker_url = settings.broker_url.get_secret_value()
    env = settings_env | {
        "REGIONCAP_BROKER_URL": broker_url, "REGIONCAP_VISIBILITY_TIMEOUT_S": str(TIMEOUT_S),
    }  # fmt: skip
    with _flower(APP, env, tmp_path) as address:
        # It listens for events by now: this is when it looks for abandoned messages.
        wait_until(lambda: in_hand.pubsub_numpat() > 0 or bool(in_hand.pubsub_channels()))
        _get(f"{address}/api/workers?refresh=1")
        assert (in_hand.llen("render"), in_hand.hlen("unacked")) == (0, 1)
    # Without the app it goes by a timeout of its own, and takes the shard away: see the page.
    with _flower(["--broker", broker_url], env, tmp_path):
        wait_until(lambda: bool(in_hand.llen("render") == 1))
