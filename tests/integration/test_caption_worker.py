"""A caption worker whose engine cannot start, or has died."""

from __future__ import annotations

import json
from pathlib import Path

from regioncap.local import LocalStack
from regioncap.services.attempts import Attempts
from tests.support.rig import Rig, write_input


def test_ends_and_says_why(stack: LocalStack, tmp_path: Path) -> None:
    rig = Rig(stack, tmp_path)
    worker = rig.start("caption", engine="vllm", model="/no/such/model")
    try:
        # Without an engine it would take shards and fail them.
        assert worker.process.wait(60) == 1
    finally:
        rig.stop()
    event = json.loads(worker.log.read_text().splitlines()[-1])
    assert (event["level"], event["code"]) == ("error", "model-folder-missing")
    assert "give the folder that holds config.json" in event["error"]


def test_an_engine_that_died_idle_is_no_shards_doing(stack: LocalStack, tmp_path: Path) -> None:
    rig = Rig(stack, tmp_path)
    worker = rig.start("caption", "tests.support.hurt_caption", HURT_IDLE="1")
    rig.start("render")
    try:
        job = rig.submit(write_input(tmp_path / "in", 12))
        assert worker.process.wait(60) == 70
        for shard in range(job.shards):
            assert Attempts(rig.redis, job.job, "caption", shard).deaths() == 0
        rig.start("caption")
        rig.check(job)
    finally:
        rig.stop()
