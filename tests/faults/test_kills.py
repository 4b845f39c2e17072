"""Processes die with work in hand, and the results are those of a run that nothing disturbed."""

from __future__ import annotations

from collections import Counter
from pathlib import Path

import psutil
import pytest

from regioncap import keys
from tests.support.rig import Rig, wait_until


@pytest.mark.more
def test_undisturbed_runs_are_equal(rig: Rig, input_file: Path, expected: bytes) -> None:
    rig.start("render")
    rig.start("caption")
    records = rig.check(rig.submit(input_file), expected)
    assert {record["error"] is None for record in records} == {True, False}


@pytest.mark.more
def test_render_children_die(rig: Rig, input_file: Path, expected: bytes) -> None:
    render = rig.start_ready("render")
    rig.start("caption")
    job = rig.submit(input_file)
    died: Counter[int] = Counter()
    for _ in range(3):
        died = rig.freeze_at_work(render, job, "render", died)
        for child in render.children():
            child.kill()
        render.go_on()
    rig.check(job, expected)


def test_render_worker_dies(rig: Rig, input_file: Path, expected: bytes) -> None:
    rig.start("caption")
    job = rig.submit(input_file)
    died: Counter[int] = Counter()
    for _ in range(3):
        render = rig.start_ready("render")
        died = rig.freeze_at_work(render, job, "render", died)
        children = render.children()
        render.kill()
        render.go_on()  # its children, if they live
        psutil.wait_procs(children, timeout=30)
        assert not any(child.is_running() for child in children)
    rig.start("render")
    rig.check(job, expected)


def test_caption_workers_die(rig: Rig, input_file: Path, expected: bytes) -> None:
    rig.start("render")
    job = rig.submit(input_file)
    died: Counter[int] = Counter()
    for _ in range(3):
        caption = rig.start_ready("caption")
        died = rig.freeze_at_work(caption, job, "caption", died)
        caption.kill()
    rig.start("caption")
    rig.check(job, expected)


@pytest.mark.more
def test_one_slow_worker_does_not_hold_up_the_end(
    rig: Rig, input_file: Path, expected: bytes
) -> None:
    rig.start("render")
    starts = rig.folder / "starts"
    hurt = {"HURT_STARTS": str(starts), "HURT_SLEEP_S": "600"}
    slow = rig.start_ready("caption", "tests.support.hurt_caption", **hurt)
    job = rig.submit(input_file)
    wait_until(starts.exists, worker=slow)
    quick = rig.start_ready("caption")
    rig.check(job, expected)
    assert slow.process.poll() is None
    assert "a second claim" in quick.log.read_text()
    assert "a second claim" not in slow.log.read_text()


@pytest.mark.more
def test_janitors_die_and_one_is_enough(rig: Rig, input_file: Path, expected: bytes) -> None:
    # No message at all: only janitors can bring this job to its end.
    job = rig.submit(input_file, queue=False)
    watching = rig.start("janitor")
    wait_until(lambda: bool(rig.redis.hexists("regioncap:janitor:seen", job.job)), worker=watching)
    watching.kill()
    queueing = rig.start("janitor")
    wait_until(lambda: rig.redis.llen("render") > 0, worker=queueing)
    queueing.kill()
    rig.redis.delete("render")  # and what it did is lost
    rig.start("janitor")
    rig.start("janitor")
    rig.start("render")
    rig.start("caption")
    rig.check(job, expected)


@pytest.mark.more
def test_last_part_without_its_finaliser(rig: Rig, input_file: Path, expected: bytes) -> None:
    rig.start("render")
    caption = rig.start("caption")
    job = rig.submit(input_file)
    rig.check(job, expected)
    caption.kill()
    # As if the worker had died between the last part and `_SUCCESS`.
    rig.store.put(keys.open_key(job.job), b"")
    rig.store.delete(keys.success_key(job.job))
    rig.start("janitor")
    wait_until(lambda: rig.store.exists(keys.success_key(job.job)))
    rig.check(job, expected)
