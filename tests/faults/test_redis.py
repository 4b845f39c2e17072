"""Redis crashes, forgets everything, is away or full: no record is lost, and nobody repairs."""

from __future__ import annotations

import os
import random
import signal
import time
from pathlib import Path

import pytest

from regioncap.client import Client
from regioncap.errors import QueueError
from regioncap.jobs import catalogue
from regioncap.settings import load_settings
from tests.support.rig import Rig, wait_until


@pytest.mark.more
def test_crash_and_restart(
    rig: Rig, input_file: Path, expected: bytes, chance: random.Random
) -> None:
    rig.start_ready("render")
    rig.start_ready("caption")
    job = rig.submit(input_file)
    valkey = rig.stack.child("valkey")
    for parts in (chance.randrange(1, 4), chance.randrange(8, 12)):
        rig.wait_for_parts(job, parts)
        before = valkey.pid
        os.kill(before, signal.SIGKILL)
        assert rig.done(job) < job.shards
        wait_until(lambda before=before: valkey.pid != before)  # type: ignore[misc]
    rig.check(job, expected)


def test_flushall(rig: Rig, input_file: Path, expected: bytes, chance: random.Random) -> None:
    rig.start("render")
    rig.start("caption")
    job = rig.submit(input_file)
    rig.wait_for_parts(job, chance.randrange(1, job.shards // 2))
    rig.redis.flushall()
    rig.check(job, expected)


def test_submitted_while_redis_is_away(rig: Rig, input_file: Path, expected: bytes) -> None:
    rig.start("render")
    rig.start("caption")
    away = Client(load_settings(**{**rig.stack.settings(), "broker_url": "redis://127.0.0.1:1/0"}))
    job = rig.submit(input_file, queue=False)
    with pytest.raises(QueueError, match="cannot be reached"):
        away.sender.render(job, range(job.shards))
    assert catalogue.load(rig.store, job.job) == job
    rig.check(job, expected)  # by itself


def test_memory_full(rig: Rig, input_file: Path, expected: bytes) -> None:
    job = rig.submit(input_file, queue=False)
    used = int(rig.redis.info("memory")["used_memory"])
    rig.redis.config_set("maxmemory", used)
    try:
        with pytest.raises(QueueError, match="no memory left") as refused:
            rig.queue(job)
        assert refused.value.code == "queue-full"
        rig.keep(rig.start("render"), rig.start("caption"))
        time.sleep(3)
    finally:
        rig.redis.config_set("maxmemory", 0)
    rig.check(job, expected)
