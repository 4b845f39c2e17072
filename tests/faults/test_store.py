"""The store crashes, is slow, refuses, is full or away: workers wait, and nothing is lost."""

from __future__ import annotations

import os
import random
import signal
import subprocess
import time
from pathlib import Path

import pytest

from regioncap.errors import StoreError
from regioncap.local import LocalStack
from regioncap.store import Store
from tests.support.proxy import proxied
from tests.support.rig import Rig, wait_until


def test_crash_and_restart(
    rig: Rig, input_file: Path, expected: bytes, chance: random.Random
) -> None:
    rig.start_ready("render")
    rig.start_ready("caption")
    job = rig.submit(input_file)
    time.sleep(chance.uniform(0.3, 1.5))
    seaweed = rig.stack.child("seaweed")
    before = seaweed.pid
    os.kill(before, signal.SIGKILL)
    wait_until(lambda: seaweed.pid != before)
    wait_until(lambda: _answers(rig.store))
    rig.check(job, expected)


def _answers(store: Store) -> bool:
    try:
        store.check()
    except StoreError:
        return False
    return True


@pytest.mark.parametrize(("refuse_every", "delay_s"), [(3, 0.0), (0, 0.1)], ids=["503", "slow"])
def test_store_has_a_bad_day(
    rig: Rig, input_file: Path, expected: bytes, refuse_every: int, delay_s: float
) -> None:
    with proxied(rig.store.endpoint) as proxy:
        proxy.refuse_every, proxy.delay_s = refuse_every, delay_s
        rig.extra = {"s3_endpoint": proxy.endpoint}
        rig.start("render")
        rig.start("caption")
        rig.check(rig.submit(input_file), expected)
        assert proxy.requests > 100
        assert bool(proxy.refused) == bool(refuse_every)


def test_store_refuses_everything_for_a_while(rig: Rig, input_file: Path, expected: bytes) -> None:
    with proxied(rig.store.endpoint) as proxy:
        rig.extra = {"s3_endpoint": proxy.endpoint}
        workers = rig.start("render"), rig.start("caption")
        job = rig.submit(input_file)
        rig.wait_for_parts(job)
        proxy.refuse_every = 1
        wait_until(lambda: b"back to the queue" in workers[0].log.read_bytes()
                   or b"back to the queue" in workers[1].log.read_bytes())  # fmt: skip
        proxy.refuse_every = 0
        rig.check(job, expected)


def test_connection_refused(rig: Rig, input_file: Path, expected: bytes) -> None:
    with proxied(rig.store.endpoint) as gone:
        nobody = gone.endpoint
    waiting = rig.start("render", s3_endpoint=nobody)
    job = rig.submit(input_file)
    wait_until(lambda: b"cannot be reached" in waiting.log.read_bytes(), worker=waiting)
    assert rig.redis.llen("render") + rig.redis.hlen("unacked") == job.shards
    waiting.terminate()
    waiting.process.wait(30)
    rig.start("render")
    rig.start("caption")
    rig.check(job, expected)


def test_disk_full(tmp_path: Path, input_file: Path, expected: bytes) -> None:
    folder = tmp_path / "small"
    folder.mkdir()
    mount = ["mount", "-t", "tmpfs", "-o", "size=64m", "tmpfs", str(folder)]
    if subprocess.run(mount, check=False, capture_output=True).returncode:
        pytest.skip("only root can mount a small disk")
    try:
        with LocalStack(folder / "stack") as stack:
            _fill_and_free(Rig(stack, tmp_path / "rig"), folder, input_file, expected)
    finally:
        subprocess.run(["umount", "--lazy", str(folder)], check=True)


def _fill_and_free(rig: Rig, folder: Path, input_file: Path, expected: bytes) -> None:
    ballast = folder / "ballast"
    try:
        workers = rig.start("render"), rig.start("caption")
        rig.keep(*workers)
        job = rig.submit(input_file)
        rig.wait_for_parts(job)
        with ballast.open("wb") as file:
            try:
                while True:
                    file.write(bytes(100_000))
                    file.flush()
            except OSError:
                pass
        wait_until(lambda: "back to the queue" in rig.logs())
        ballast.unlink()
        rig.check(job, expected)
    finally:
        rig.stop()
