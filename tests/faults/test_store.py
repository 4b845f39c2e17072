"""The store crashes, is slow, refuses, is full or away: workers wait, and nothing is lost."""

from __future__ import annotations

import json
import os
import random
import signal
import time
from collections.abc import Iterator
from pathlib import Path

import pytest

from regioncap import keys
from regioncap.errors import StoreError
from regioncap.jobs.status import job_status
from regioncap.local import LocalStack
from regioncap.services.store import Store
from regioncap.settings import Settings
from tests.support.proxy import Rule, proxied
from tests.support.rig import Rig, wait_until, write_input
from tests.support.small_disk import fill, mounted
from tests.support.system import run_command


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


@pytest.mark.more
@pytest.mark.parametrize(
    ("refuse_every", "delay_s"), [pytest.param(3, 0.0, id="503"), pytest.param(0, 0.1, id="slow")]
)
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


@pytest.mark.more
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


@pytest.mark.more
def test_what_the_store_refuses_one_job_is_no_other_one_s_trouble(
    rig: Rig, input_file: Path, expected: bytes, tmp_path: Path
) -> None:
    with proxied(rig.store.endpoint) as proxy:
        rig.extra = {"s3_endpoint": proxy.endpoint}
        rig.start("render")
        rig.start("caption")
        refused = rig.submit(input_file, queue=False)
        parts = keys.prefix(refused.job, "input")
        proxy.rules.append(Rule(403, "AccessDenied", path=f"^/{rig.store.bucket}/{parts}"))
        rig.queue(refused)
        wait_until(lambda: bool(job_status(rig.store, rig.redis, refused).waits))

        rig.check(rig.submit(input_file), expected)

        status = job_status(rig.store, rig.redis, refused)
        assert (status.state, status.done) == ("waiting", 0)
        (why,) = status.waits
        assert (why.stage, why.code) == ("render", "store-refused")
        assert f"refused '{parts}" in why.reason
        assert why.reason.endswith("AccessDenied")
        shown = run_command("status", refused.job, env=rig.environment())
        assert f"{why.reason}, for " in " ".join(shown.stdout.decode().split())
        proxy.rules.clear()
        rig.check(refused, expected)


@pytest.mark.more
def test_a_source_that_stays_refused_is_the_error_of_its_records(rig: Rig, tmp_path: Path) -> None:
    file = write_input(tmp_path / "in", 4)
    lines = [json.loads(line) for line in file.read_text().splitlines()]
    for name, line in zip(("locked", "open"), lines, strict=False):
        rig.store.put(f"{name}/a.png", (file.parent / line["image"]).read_bytes())
        line["image"] = rig.store.uri(f"{name}/a.png")
    file.write_text("".join(json.dumps(line) + "\n" for line in lines))
    with proxied(rig.store.endpoint) as proxy:
        proxy.rules.append(Rule(403, "AccessDenied", path=f"^/{rig.store.bucket}/locked/"))
        rig.extra = {"s3_endpoint": proxy.endpoint}
        rig.start("render")
        rig.start("caption")
        records = rig.check(rig.submit(file))
    codes = [record["error"] and record["error"]["code"] for record in records]
    assert codes == ["source-refused", None, None, None]


@pytest.mark.more
def test_connection_refused(rig: Rig, input_file: Path, expected: bytes) -> None:
    with proxied(rig.store.endpoint) as gone:
        nobody = gone.endpoint
    waiting = rig.start("render", s3_endpoint=nobody)
    job = rig.submit(input_file)
    wait_until(lambda: b"cannot be reached" in waiting.log.read_bytes(), worker=waiting)
    assert rig.left(job, "render") == set(range(job.shards))
    waiting.terminate()
    waiting.process.wait(30)
    rig.start("render")
    rig.start("caption")
    rig.check(job, expected)


@pytest.fixture
def small_disk(tmp_path: Path) -> Iterator[Path]:
    with mounted(tmp_path / "small") as disk:
        yield disk


@pytest.mark.more
def test_disk_full(small_disk: Path, tmp_path: Path, input_file: Path, expected: bytes) -> None:
    with LocalStack(small_disk / "stack") as stack:
        rig = Rig(stack, tmp_path / "rig")
        try:
            rig.keep(rig.start("render"), rig.start("caption"))
            job = rig.submit(input_file)
            rig.wait_for_parts(job)
            ballast = fill(small_disk)
            wait_until(lambda: "back to the queue" in rig.logs())
            ballast.unlink()
            rig.check(job, expected)
        finally:
            rig.stop()


@pytest.mark.more
def test_store_writes_again_after_its_disk_was_full(small_disk: Path) -> None:
    with LocalStack(small_disk / "stack") as stack:
        store = Store(Settings(**stack.settings()), attempts=0)  # type: ignore[arg-type]
        # The store spreads its names over several files by folder; each one is to find no room.
        keys = [f"{number}/empty" for number in range(32)]
        assert all(_writes(store, key) for key in keys)
        ballast = fill(small_disk)
        for key in keys:
            wait_until(lambda key=key: not _writes(store, key))  # type: ignore[misc]
        ballast.unlink()
        for key in keys:
            wait_until(lambda key=key: _writes(store, key), 200)  # type: ignore[misc]
        assert [store.get(key) for key in keys] == [b""] * len(keys)


def _writes(store: Store, key: str) -> bool:
    try:
        store.put(key, b"")
    except StoreError:
        return False
    return True
