"""Benches as commands: each may be cut off by its reader."""

from __future__ import annotations

import subprocess
import sys

import pytest

from tests.support.system import ROOT

BENCHES = [
    path
    for path in sorted((ROOT / "bench").rglob("*.py"))
    if '__name__ == "__main__"' in path.read_text("utf-8")
]


def test_a_reader_that_leaves_is_no_error() -> None:
    line = f"{sys.executable} -m bench.paper | true; echo ${{PIPESTATUS[0]}}"
    piped = subprocess.run(
        ["bash", "-c", line], cwd=ROOT, capture_output=True, timeout=60, check=True
    )
    assert (piped.stdout, piped.stderr) == (b"141\n", b"")


@pytest.mark.parametrize("bench", BENCHES, ids=lambda path: path.stem)
def test_every_bench_is_run_as_a_command(bench: object) -> None:
    text = (ROOT / str(bench)).read_text("utf-8")
    assert text.partition('if __name__ == "__main__":\n')[2].startswith("    as_command(")
