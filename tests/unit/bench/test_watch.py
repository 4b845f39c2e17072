"""What the processes of a run and its GPU use, as the system tells it."""

from __future__ import annotations

import os
import subprocess
import sys
import time
from pathlib import Path

import pytest

from bench.gpu.watch import Watch, processor_s

pytestmark = pytest.mark.slow

BUSY = "import time\nend = time.process_time() + 0.3\nwhile time.process_time() < end: pass\n"


def smi(folder: Path, text: str) -> None:
    command = folder / "nvidia-smi"
    command.write_text(f"#!/bin/sh\nprintf '%s\\n' '{text}'\n")
    command.chmod(0o755)


def test_processor_time_of_a_process_and_of_its_children() -> None:
    code = f"import subprocess, sys\nsubprocess.run([sys.executable, '-c', {BUSY!r}])\ninput()"
    with subprocess.Popen([sys.executable, "-c", code], stdin=subprocess.PIPE) as process:
        deadline = time.monotonic() + 60
        while (found := processor_s({"parent": process.pid}))["parent"] < 0.3:
            assert time.monotonic() < deadline, found
            time.sleep(0.05)
        process.communicate(b"\n")


def test_the_gpu_s_use_and_power(tmp_path: Path, monkeypatch: pytest.MonkeyPatch) -> None:
    smi(tmp_path, "97, 612.5\n3, 80.0")
    monkeypatch.setenv("PATH", f"{tmp_path}{os.pathsep}{os.environ['PATH']}")
    with Watch({"bench": os.getpid()}) as watch:
        time.sleep(1.3)

    assert watch.found["gpu"]["use_percent"] == 97
    assert watch.found["gpu"]["power_w"] == 612.5
    assert watch.found["watched_s"] >= 1.3
    assert 0 <= watch.found["processor_s"]["bench"] < 1.3


@pytest.mark.parametrize("text", ["[N/A], [N/A]", "no devices were found"])
def test_a_driver_that_tells_nothing_is_no_figure(
    tmp_path: Path, monkeypatch: pytest.MonkeyPatch, text: str
) -> None:
    smi(tmp_path, text)
    monkeypatch.setenv("PATH", f"{tmp_path}{os.pathsep}{os.environ['PATH']}")
    with Watch({"bench": os.getpid()}) as watch:
        time.sleep(0.7)

    assert watch.found["gpu"] is None
