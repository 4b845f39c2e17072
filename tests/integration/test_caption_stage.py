"""The caption stage writes one part a shard, whatever other workers do or the store has lost."""

from __future__ import annotations

import json
import time
from collections import defaultdict
from collections.abc import Iterator
from pathlib import Path
from typing import Any

import pytest

from regioncap import keys, metrics
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

    def slowly(request: CaptionRequest) -> str:
        time.sleep(0.05)
        return overtaken(request)

    counted: defaultdict[str, float] = defaultdict(float)

    def count(name: str, value: float, _: dict[str, str]) -> None:
        counted[name] += value

    metrics.install(count)
    slower = EngineThread(ScriptedEngine(slowly))
    slower.start()
    try:
        sender: Any = Silent()
        stage = CaptionStage(stages.store, slower, stages.progress, stages.settings, sender, gpus=1)
        stage.run(job.job, 0)
    finally:
        slower.close()
        metrics.install(None)

    assert first == [stages.store.get(key)]
    assert b"slower" not in first[0]
    # All that its GPU did was in vain; the baseline, which was first, has none.
    assert counted["gpu_seconds"] >= 0.05
    assert counted["gpu_seconds_lost"] == pytest.approx(counted["gpu_seconds"], rel=0.1)
    kept = [stages.store.get(key) for key in stages.store.list_keys(keys.CAPTIONS)]
    assert kept
    assert not any(b"slower" in each for each in kept)  # nobody's results hold these words
    success = catalogue.find_success(stages.store, job.job)
    assert success is not None
    assert success.counts["records"] == 2


def test_silent_records_are_asked_again_by_an_engine_that_has_become_well(
    stages: Stages, tmp_path: Path
) -> None:
    job = stages.job(tmp_path)
    stages.render.run(job.job, 0)
    is_well = False

    def reply(request: CaptionRequest) -> str:
        """Mended between the answers and the trial on our own pictures."""
        nonlocal is_well
        is_well = is_well or "own-pictures" in request.request_id
        return f"In <region1>, thing {request.request_id}." if is_well else "!!!!!!!!"

    engine = EngineThread(ScriptedEngine(reply))
    engine.start()
    try:
        sender: Any = Silent()
        stage = CaptionStage(stages.store, engine, stages.progress, stages.settings, sender)
        stage.run(job.job, 0)
    finally:
        engine.close()

    records = parse_part(stages.store.get(keys.part_key(job.job, "results", 0)))
    assert [record["error"] for record in records] == [None, None]
    texts = [[answer["text"] for answer in record["answers"]] for record in records]
    assert all(first == "!!!!!!!!" and last.startswith("In") for first, *_, last in texts), texts
    assert all(record["usage"]["requests"] == len(record["answers"]) for record in records)


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
