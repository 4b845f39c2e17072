"""The caption stage writes one part a shard, whatever other workers do or the store has lost."""

from __future__ import annotations

import json
from collections.abc import Iterator
from pathlib import Path

import pytest

from regioncap import keys
from regioncap.engines.base import CaptionRequest
from regioncap.engines.thread import EngineThread
from regioncap.jobs import catalogue
from regioncap.jobs.caption import CaptionStage
from regioncap.jobs.results import parse_part
from regioncap.settings import load_settings
from tests.support.engines import ScriptedEngine
from tests.support.stages import Silent, Stages


@pytest.fixture(scope="module")
def stages(stack_settings: dict[str, str]) -> Iterator[Stages]:
    made = Stages(load_settings(**stack_settings))
    yield made
    made.engine.close()


def test_of_two_workers_the_first_ones_part_stays(stages: Stages, tmp_path: Path) -> None:
    job = stages.job(tmp_path)
    stages.render.run(job.job, 0)
    key = keys.part_key(job.job, "results", 0)
    first: list[bytes] = []

    def overtaken(request: CaptionRequest) -> str:
        """The slower worker has found no part; while it asks, another writes its own."""
        if not first:
            stages.caption.run(job.job, 0)
            first.append(stages.store.get(key))
        return "In <region1>, what the slower one says"

    slower = EngineThread(ScriptedEngine(overtaken))
    slower.start()
    try:
        CaptionStage(stages.store, slower, stages.progress, stages.settings, Silent()).run(  # type: ignore[arg-type]
            job.job, 0
        )
    finally:
        slower.close()

    assert first == [stages.store.get(key)]
    assert b"slower" not in first[0]
    kept = [stages.store.get(key) for key in stages.store.list_keys(keys.CAPTIONS)]
    assert kept
    assert not any(b"slower" in each for each in kept)  # nobody's results hold these words
    success = catalogue.find_success(stages.store, job.job)
    assert success is not None
    assert success.counts["records"] == 2


def test_lost_input_comes_out_as_error_records(stages: Stages, tmp_path: Path) -> None:
    job = stages.job(tmp_path)
    stages.store.delete(keys.part_key(job.job, "input", 0))

    stages.render.run(job.job, 0)
    stages.caption.run(job.job, 0)

    records = parse_part(stages.store.get(keys.part_key(job.job, "results", 0)))
    assert [record["error"]["code"] for record in records] == ["input-lost"] * 2
    assert [record["index"] for record in records] == [0, 1]
    success = catalogue.find_success(stages.store, job.job)
    assert success is not None
    assert success.counts["failed"] == 2
    assert json.loads(stages.store.get(keys.job_key(job.job)))["records"] == 2
