"""SIGTERM ends a worker within its grace period, its unfinished shards back in the queue."""

from __future__ import annotations

from pathlib import Path

import pytest

from regioncap.job import Job
from regioncap.records import Stage
from tests.support.rig import Rig, Worker, wait_until

#: Far longer than any limit here: what ends earlier did not wait for it.
_ENDLESS_S = "600"
_HANG_LIMIT_S = 30
#: Shards that are drawn ahead of captions at least.
_AHEAD = 16


def _start_stuck(rig: Rig, kind: Stage, input_file: Path, **changed: str) -> tuple[Worker, Job]:
    """A worker that has two shards of a job in hand and will not finish them."""
    starts = rig.folder / "starts"
    starts.write_text("")
    job = rig.submit(input_file)
    if kind == "caption":
        _render(rig, job)
    hurt = {"HURT_STARTS": str(starts), "HURT_SLEEP_S": _ENDLESS_S}
    worker = rig.start(kind, f"tests.support.hurt_{kind}", **hurt, **changed)
    wait_until(lambda: len(starts.read_text().splitlines()) >= 2, worker=worker)
    return worker, job


def _render(rig: Rig, job: Job) -> None:
    """Has as many shards drawn as are drawn where no captions follow."""
    render = rig.start("render")
    wait_until(lambda: len(rig.left(job, "caption")) >= min(job.shards, _AHEAD))
    render.terminate()  # it may be about to take one more
    assert render.process.wait(_HANG_LIMIT_S) == 0


def _left(rig: Rig, job: Job) -> set[int]:
    return rig.left(job, "render") | rig.left(job, "caption")


@pytest.mark.parametrize("kind", [pytest.param("render", marks=pytest.mark.more), "caption"])
def test_unfinished_shards_go_back_at_once(rig: Rig, input_file: Path, kind: Stage) -> None:
    worker, job = _start_stuck(rig, kind, input_file)
    assert rig.redis.hlen("unacked")
    worker.terminate()
    assert worker.process.wait(_HANG_LIMIT_S) == 0
    assert rig.redis.hlen("unacked") == 0
    assert _left(rig, job) == set(range(job.shards))


@pytest.mark.parametrize("kind", ["render", pytest.param("caption", marks=pytest.mark.more)])
def test_second_sigterm_does_not_wait(rig: Rig, input_file: Path, kind: Stage) -> None:
    worker, _ = _start_stuck(rig, kind, input_file, grace_s=_ENDLESS_S)
    worker.terminate()
    wait_until(lambda: b'"stopping"' in worker.log.read_bytes())
    worker.terminate()
    assert worker.process.wait(_HANG_LIMIT_S) == 0
    assert rig.redis.hlen("unacked") == 0
    assert rig.redis.llen(kind) > 0


@pytest.mark.more
def test_drained_requests_leave_the_engine(rig: Rig, input_file: Path) -> None:
    worker, _ = _start_stuck(rig, "caption", input_file)
    worker.terminate()
    worker.process.wait(_HANG_LIMIT_S)
    noted = (rig.folder / "starts").read_text().split()
    started = {note for note in noted if not note.startswith("-")}
    assert {note[1:] for note in noted if note.startswith("-")} == started


def test_work_goes_on_elsewhere(rig: Rig, input_file: Path, expected: bytes) -> None:
    kinds: tuple[Stage, ...] = ("render", "caption")
    for kind in kinds:
        rig.redis.flushall()
        stuck, _ = _start_stuck(rig, kind, input_file)
        stuck.terminate()
        stuck.process.wait(_HANG_LIMIT_S)
    job = rig.submit(input_file)
    rig.start("render")
    rig.start("caption")
    rig.check(job, expected)


def test_shards_in_hand_may_finish(rig: Rig, input_file: Path, expected: bytes) -> None:
    job = rig.submit(input_file)
    _render(rig, job)
    hurt = {"HURT_STARTS": str(rig.folder / "starts"), "HURT_SLEEP_S": "0.5"}
    caption = rig.start("caption", "tests.support.hurt_caption", grace_s="30", **hurt)
    wait_until((rig.folder / "starts").exists)
    before = rig.done(job)
    caption.terminate()
    assert caption.process.wait(_HANG_LIMIT_S) == 0
    assert rig.done(job) > before
    assert rig.redis.hlen("unacked") == 0
    assert len(_left(rig, job)) == job.shards - rig.done(job)
    rig.start("render")
    rig.start("caption")
    rig.check(job, expected)
