"""A caption worker whose engine cannot start."""

from __future__ import annotations

import json
from pathlib import Path

from regioncap.local import LocalStack
from tests.support.rig import Rig


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
