"""What an engine starts does not outlive the process that started it."""

from __future__ import annotations

import os
import signal
import subprocess
import sys
from pathlib import Path

import psutil
import pytest

pytestmark = pytest.mark.slow

ROOT = Path(__file__).resolve().parents[3]

#: Starts a child as vLLM starts its core: one that hears no SIGTERM, and notices nothing.
PARENT = """
import multiprocessing, signal, sys, time
from regioncap.engines.offspring import Offspring

def core(said):
    signal.signal(signal.SIGTERM, signal.SIG_IGN)
    said.send("up")
    time.sleep(600)

if __name__ == "__main__":
    offspring = Offspring()
    with offspring.tied():
        here, there = multiprocessing.get_context(sys.argv[1]).Pipe()
        child = multiprocessing.get_context(sys.argv[1]).Process(target=core, args=(there,))
        child.daemon = True
        child.start()
        here.recv()
        if sys.argv[2] == "within":
            time.sleep(1)
            print(child.pid, flush=True)
            time.sleep(600)
    if sys.argv[2] == "closed":
        offspring.close()
        child.join()
        print(child.exitcode)
        sys.exit()
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


def test_closing_ends_what_still_runs(tmp_path: Path) -> None:
    script = tmp_path / "parent.py"
    script.write_text(PARENT)
    done = subprocess.run(
        [sys.executable, script, "spawn", "closed"],
        capture_output=True,
        env={**os.environ, "PYTHONPATH": str(ROOT)},
        check=True,
    )

    assert int(done.stdout) == -signal.SIGKILL
