"""`top` shows workers, queues and jobs as they are, once or until Ctrl-C."""

from __future__ import annotations

import json
import os
import pty
import re
import signal
import subprocess
import sys
from pathlib import Path

from tests.support.system import ROOT, System

PHOTOS = ROOT / "regioncap/inputs/examples/photos.jsonl"


def test_one_look_tells_workers_queues_and_jobs(system: System) -> None:
    job = system.command("submit", PHOTOS, "--wait", "--name", "photos").stdout.decode().split()[0]
    looked = system.command("top", "--once", "--json")
    assert looked.returncode == 0, looked.stderr.decode()
    fleet = json.loads(looked.stdout)
    kinds = {worker["kind"]: worker for worker in fleet["workers"]}
    assert set(kinds) == {"render", "caption"}
    assert kinds["caption"]["engine"] == "baseline"
    assert kinds["caption"]["room"] >= 1
    assert {"render", "caption"} <= {queue["name"] for queue in fleet["queues"]}
    assert job not in {view["status"]["job"] for view in fleet["jobs"]}  # it is done
    board = system.command("top", "--once").stdout.decode()
    for word in ("Queues", "Workers", "Jobs", "baseline"):
        assert word in board


def test_it_stays_until_it_is_told_to_stop(system: System, tmp_path: Path) -> None:
    parent, child = pty.openpty()
    process = subprocess.Popen(
        [sys.executable, "-m", "producer", "top", "--interval", "0.3"],
        env=system.env | {"PYTHONPATH": str(ROOT), "TERM": "xterm", "COLUMNS": "160"},
        cwd=tmp_path, stdin=child, stdout=child, stderr=child, start_new_session=True,
    )  # fmt: skip
    os.close(child)
    screen = ""
    while screen.count("Workers") < 3:  # drawn again and again
        screen += os.read(parent, 65536).decode(errors="replace")
    process.send_signal(signal.SIGINT)
    assert process.wait(60) == 130
    os.close(parent)
    plain = re.sub(r"\x1b\[[0-9;?]*[A-Za-z]", "", screen)
    assert "caption" in plain
    assert "Traceback" not in plain
