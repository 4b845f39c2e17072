"""`regioncap serve` as a process."""

from __future__ import annotations

import subprocess
import sys
from collections.abc import Iterator, Mapping
from contextlib import contextmanager

from tests.support.system import ROOT


@contextmanager
def serving(env: Mapping[str, str], *options: str) -> Iterator[str]:
    """Runs the server; yields the address that it prints."""
    argv = [sys.executable, "-m", "producer", "serve", "--port", "0", *options]
    process = subprocess.Popen(
        argv, env={**env, "PYTHONPATH": str(ROOT)}, stdout=subprocess.PIPE, text=True
    )
    assert process.stdout
    try:
        address = process.stdout.readline().strip()
        assert address, "it ended; see its words above"
        yield address
    finally:
        process.terminate()
        process.stdout.close()
        process.wait()
