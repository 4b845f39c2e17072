"""What an engine starts does not outlive the process that started it."""

from __future__ import annotations

import os
import signal
import subprocess
import sys
from pathlib import Path

import psutil
import pytest

ROOT = Path(__file__).resolve().parents[3]

#: Starts a child as vLLM starts its core: one that hears no SIGTERM, and notices nothing.
PARENT = """
import multiprocessing, signal, sys, time
from regioncap.engines.offspring import tied_to
from regioncap.tether import Tether

def core(said):
    signal.signal(signal.SIGTERM, signal.SIG_IGN)
    said.send("up")
    time.sleep(600)

if __name__ == "__main__":
    with tied_to(Tether()):
        here, there = multiprocessing.get_context(sys.argv[1]).Pipe()
        child = multiprocessing.get_context(sys.argv[1]).Process(target=core, args=(there,))
        child.daemon = True
        child.start()
        here.recv()
        if sys.argv[2] == "within":
            time.sleep(1)
            print(child.pid, flush=True)
            time.sleep(600)
    print(child.pid, flush=True)
    time.sleep(600)
"""


@pytest.mark.parametrize(
    ("method", "when"), [("spawn", "within"), ("spawn", "after"), ("fork", "after")]
)
def test_a_killed_process_takes_its_core_along(tmp_path: Path, method: str, when: str) -> None:
    script = tmp_path / "parent.py"
    script.write_text(PARENT)
    with subprocess.Popen(
        [sys.executable, script, method, when],
        stdout=subprocess.PIPE,
        env={**os.environ, "PYTHONPATH": str(ROOT)},
    ) as parent:
        assert parent.stdout is not None
        core = psutil.Process(int(parent.stdout.readline()))
        parent.send_signal(signal.SIGKILL)

        _, left = psutil.wait_procs([core], timeout=60)
        assert not left
