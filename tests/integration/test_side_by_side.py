"""Several workers as one command: started again, told to stop at once, and an end that is told."""

from __future__ import annotations

import os
import signal
import subprocess
import sys
from collections.abc import Sequence
from pathlib import Path

from tests.support.rig import wait_until
from tests.support.system import ROOT

#: Stands in for a worker, which would load a model: tells that it serves, until told to end.
WORKER = """
import pathlib, signal, sys, time
from regioncap.services.broker import connect
from regioncap.services.presence import Presence
from regioncap.settings import load_settings
told = Presence(connect(load_settings()), "caption", queue="caption")
told.start()
signal.signal(signal.SIGTERM, lambda *_: (told.stop(), sys.exit(0)))
file = pathlib.Path(sys.argv[1])
with file.open("a") as starts: starts.write("start\\n")
while not file.with_suffix(".die").exists(): time.sleep(0.02)
file.with_suffix(".die").unlink()
sys.exit(70)
"""
COMMAND = """
import sys
from regioncap.local import Command
from regioncap.local.side_by_side import run_side_by_side
from regioncap.settings import load_settings
codes = sys.argv[1].split("||")
commands = [
    Command(name=f"caption-{n}", argv=(sys.executable, "-c", code, *sys.argv[2:]))
    for n, code in enumerate(codes, 1)
]
say = lambda text: print(text, file=sys.stderr, flush=True)
sys.exit(run_side_by_side(load_settings(), commands, [], say))
"""


def started(env: dict[str, str], codes: Sequence[str], file: Path) -> subprocess.Popen[str]:
    return subprocess.Popen(
        [sys.executable, "-c", COMMAND, "||".join(codes), str(file)],
        env=os.environ | env | {"PYTHONPATH": str(ROOT)},
        stderr=subprocess.PIPE,
        text=True,
    )


def test_a_worker_that_served_is_started_again(
    settings_env: dict[str, str], tmp_path: Path
) -> None:
    file = tmp_path / "starts"

    def count() -> int:
        return len(file.read_text().splitlines()) if file.exists() else 0

    process = started(settings_env, [WORKER, "raise SystemExit(3)"], file)
    assert process.stderr is not None
    said = {process.stderr.readline() for _ in range(2)}
    assert said == {"caption-2 does not start: exit status 3\n", "caption-1 serves\n"}
    assert count() == 1

    file.with_suffix(".die").touch()
    assert "ended with exit status 70 and is started again" in process.stderr.readline()
    wait_until(lambda: count() == 2)

    process.send_signal(signal.SIGTERM)
    process.communicate(timeout=60)
    assert process.returncode == 0


def test_it_ends_when_none_could_start(settings_env: dict[str, str], tmp_path: Path) -> None:
    codes = ["raise SystemExit(3)", "import os; os.kill(os.getpid(), 9)"]
    process = started(settings_env, codes, tmp_path)
    _, said = process.communicate(timeout=60)
    assert process.returncode == 3
    assert sorted(said.splitlines()) == [
        "caption-1 does not start: exit status 3",
        "caption-2 does not start: signal 9 (Killed)",
    ]
