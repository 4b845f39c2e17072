"""Runs a module as `python -m` does, and writes the peak of its memory, in bytes, to a file.

    python -m bench.peak FILE MODULE [ARGUMENT ...]

A parent that waits for its child is told the larger of the child's peak and its own at the fork.
"""

from __future__ import annotations

import resource
import runpy
import sys
from pathlib import Path

from bench import as_command


def peak_bytes() -> int:
    """The most memory that this process has held, its code included."""
    status = Path("/proc/self/status")
    if status.exists():
        lines = status.read_text().splitlines()
        return 1024 * int(next(line for line in lines if line.startswith("VmHWM")).split()[1])
    return resource.getrusage(resource.RUSAGE_SELF).ru_maxrss  # bytes on macOS


def main() -> None:
    _, file, module, *arguments = sys.argv
    sys.argv = [module, *arguments]
    try:
        runpy.run_module(module, run_name="__main__", alter_sys=True)
    finally:
        Path(file).write_text(str(peak_bytes()))


if __name__ == "__main__":
    as_command(main)
