"""Memory and time that `validate` and `submit` take for files made to be too much for them.

    python -m bench.bombs [--json FILE]

The files are those of tests/support/bombs.py. Told are the peak of the command's resident memory,
beside that for a file with one small picture, and its time. No error of these files is "internal".
"""

from __future__ import annotations

import os
import subprocess
import sys
import tempfile
import time
from pathlib import Path
from typing import Any

from PIL import Image

from bench import as_command, report
from regioncap.local import LocalStack
from tests.support.bombs import BOMBS


def _plain(folder: Path) -> Path:
    Image.new("RGB", (64, 64)).save(folder / "small.jpg")
    (folder / "plain.jsonl").write_text('{"image": "small.jpg"}\n')
    return folder / "plain.jsonl"


def _measured(argv: list[str], folder: Path, environment: dict[str, str]) -> dict[str, Any]:
    """Runs a command of `regioncap`; its peak is its own word."""
    started = time.monotonic()
    peak = folder / "peak"
    done = subprocess.run(
        [sys.executable, "-m", "bench.peak", str(peak), "producer", *argv],
        env=os.environ | environment,
        capture_output=True,
        check=False,
    )
    return {
        "peak_mb": round(int(peak.read_text()) / 1e6),
        "seconds": round(time.monotonic() - started, 1),
        "exit": done.returncode,
        "internal": b"[internal]" in done.stderr,
    }


def measure() -> dict[str, dict[str, Any]]:
    """What both commands take, by file."""
    found: dict[str, dict[str, Any]] = {}
    with tempfile.TemporaryDirectory() as name, LocalStack(Path(name) / "stack") as stack:
        folder = Path(name)
        environment = {f"REGIONCAP_{k.upper()}": str(v) for k, v in stack.settings().items()}
        for what, make in {"one small picture": _plain, **BOMBS}.items():
            target = str(make(folder))
            found[what] = {
                command: _measured([command, target], folder, environment)
                for command in ("validate", "submit")
            }
            print(f"{what:40}", "   ".join(_told(*each) for each in found[what].items()))
    return found


def _told(command: str, took: dict[str, Any]) -> str:
    end = f"exit {took['exit']}" + " internal" * took["internal"]
    return f"{command} {took['peak_mb']:5,} MB {took['seconds']:5.1f} s {end}"


def main() -> None:
    """Measures and reports."""
    options = report.parser(__doc__).parse_args()
    report.save(options, "bombs", {"files": measure()})


if __name__ == "__main__":
    as_command(main)
