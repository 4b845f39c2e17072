"""Processes die at random moments, and the results are those of a run that nothing disturbed."""

from __future__ import annotations

import os
import random
import signal
import time
from contextlib import suppress
from pathlib import Path

from tests.support.rig import Rig


def test_undisturbed_runs_are_equal(rig: Rig, input_file: Path, expected: bytes) -> None:
    rig.start("render")
    rig.start("caption")
    records = rig.check(rig.submit(input_file), expected)
    assert {record["error"] is None for record in records} == {True, False}


def test_render_children_die(
    rig: Rig, input_file: Path, expected: bytes, chance: random.Random
) -> None:
    render = rig.start_ready("render")
    rig.start("caption")
    job = rig.submit(input_file)
    for _ in range(4):
        time.sleep(chance.uniform(0.1, 0.6))
        victims = render.children()
        if victims:
            with suppress(ProcessLookupError):
                os.kill(chance.choice(victims).pid, signal.SIGKILL)
    rig.check(job, expected)
