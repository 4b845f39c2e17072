"""A caption worker takes as many shards as keep its engine full, however small they are."""

from __future__ import annotations

from pathlib import Path

from regioncap.local import LocalStack
from tests.support.rig import Rig, write_input

BATCH = 40


def test_the_batch_is_filled_from_many_small_shards(stack: LocalStack, tmp_path: Path) -> None:
    rig = Rig(stack, tmp_path / "rig")
    most = tmp_path / "most"
    hungry = {"concurrency": "", "HUNGRY_BATCH": str(BATCH), "HUNGRY_MOST": str(most)}
    try:
        job = rig.submit(write_input(tmp_path / "in", 160), shard_size=4)
        rig.start("render", concurrency="2")
        # The engine answers only when more requests have come than ten shards have.
        rig.start("caption", "tests.support.hungry_caption", **hungry)
        rig.check(job)
    finally:
        rig.stop()
    # A batch and the line that waits for it, and no more than the last shard beyond.
    assert BATCH <= int(most.read_text()) <= BATCH + 32 + 4
