"""A job whose GPU time is taken, at the stages: nothing more begins, what is done stays done."""

from __future__ import annotations

from collections.abc import Iterator
from pathlib import Path

import pytest

from regioncap import keys
from regioncap.job import Job
from regioncap.jobs import budgets, retry
from regioncap.jobs.reconcile import reconcile
from regioncap.jobs.status import job_status
from regioncap.services import due
from regioncap.services.sender import Sender
from regioncap.services.spending import Spending
from regioncap.settings import load_settings
from tests.support.stages import Stages, own_stages, two_shards


@pytest.fixture(scope="module")
def stages(stack_settings: dict[str, str]) -> Iterator[Stages]:
    changed = {"s3_bucket": "budget", "max_gpu_seconds": "10"}
    with own_stages(load_settings(**stack_settings | changed)) as made:
        yield made


@pytest.fixture
def job(stages: Stages, tmp_path: Path) -> Iterator[Job]:
    with two_shards(stages, tmp_path) as job:
        for stage in (stages.render, stages.caption):
            assert stage.run(job.job, 0) == "done"
        yield job


def _spend(stages: Stages, job: Job, seconds: float) -> None:
    Spending(stages.progress(job.job).redis, job.job).add(round(1000 * seconds))


def _queued(stages: Stages, job: Job) -> tuple[list[int], list[int]]:
    progress = stages.progress(job.job)
    found = reconcile(stages.store, progress, Sender(progress.redis, stages.settings), job)
    due.drop(progress.redis, job.job)
    return found.render, found.caption


def test_what_is_not_done_pauses_and_goes_on(stages: Stages, job: Job) -> None:
    client = stages.progress(job.job).redis
    _spend(stages, job, 11)
    assert stages.caption.run(job.job, 0) == "already done"
    assert not stages.store.exists(keys.budget_key(job.job))

    for _ in range(2):  # it comes twice
        assert stages.caption.run(job.job, 1) == "paused"
    assert stages.render.run(job.job, 1) == "paused"
    assert _queued(stages, job) == ([], [])
    status = job_status(stages.store, client, job)
    assert (status.state, status.rests, status.ended) == ("paused", True, False)
    assert f"regioncap resume {job.job} --max-gpu-seconds" in status.waits[0].reason
    assert status.budget is not None
    assert (status.budget.max_gpu_seconds, status.budget.gpu_seconds) == (10, 11)

    stages.store.put(keys.cancelled_key(job.job), b"{}")
    status = job_status(stages.store, client, job)
    assert (status.state, status.waits) == ("cancelled", [])  # nothing says to go on with it
    stages.store.delete(keys.cancelled_key(job.job))
    budgets.resume(stages.store, client, job, 12)
    assert job_status(stages.store, client, job).state == "running"
    assert _queued(stages, job) == ([1], [])
    assert [stage.run(job.job, 1) for stage in (stages.render, stages.caption)] == ["done"] * 2
    assert job_status(stages.store, client, job).state == "done"


def test_a_retry_and_a_verification_are_held_to_it(stages: Stages, job: Job) -> None:
    progress = stages.progress(job.job)
    for stage in (stages.render, stages.caption):
        stage.run(job.job, 1)
    _spend(stages, job, 11)
    before = stages.store.get(keys.part_key(job.job, "results", 1))
    assert retry.begin(stages.store, progress, job, {1})
    assert retry.begin(stages.store, progress, job, verify="mark")

    assert stages.caption.run(job.job, 1) == "paused"
    assert job_status(stages.store, progress.redis, job).state == "paused"
    assert stages.store.get(keys.part_key(job.job, "results", 1)) == before

    budgets.resume(stages.store, progress.redis, job, 12)
    assert _queued(stages, job) == ([0, 1], [])
    for shard in range(2):
        assert stages.render.run(job.job, shard) == "done"
        assert stages.caption.run(job.job, shard) == "done"
    assert job_status(stages.store, progress.redis, job).state == "done"
