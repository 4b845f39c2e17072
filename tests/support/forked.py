"""The command in a process that is forked from one which has imported its modules.

That is most of what a command takes of a processor, and tests run hundreds.
"""

from __future__ import annotations

import atexit
import multiprocessing
import os
import runpy
import signal
import subprocess
import sys
import tempfile
from collections.abc import Mapping, Sequence
from pathlib import Path

#: What the command imports, itself or for what it does; none of it looks at its environment then.
MODULES = [
    "producer.cli", "regioncap.client", "regioncap.inputs.source", "regioncap.inputs.validate",
    "regioncap.outputs.gallery", "regioncap.outputs.exports", "regioncap.local",
]  # fmt: skip
_FORKS = multiprocessing.get_context("forkserver")
_FORKS.set_forkserver_preload(MODULES)


def is_fit(env: Mapping[str, str]) -> bool:
    """Whether an environment differs from the tests' own in our settings alone.

    Packages may look at others when they are imported.
    """

    def others(variables: Mapping[str, str]) -> dict[str, str]:
        return {
            name: value
            for name, value in variables.items()
            if not name.startswith(("REGIONCAP_", "PYTEST_")) and name != "PYTHONPATH"
        }

    return others(env) == others(os.environ)


def run(
    module: str,
    arguments: Sequence[str],
    *,
    env: Mapping[str, str],
    cwd: Path | None,
    timeout_s: float,
) -> subprocess.CompletedProcess[bytes]:
    """Runs `python -m MODULE` to its end, with nothing to read.

    Raises:
        subprocess.TimeoutExpired: It takes longer.
    """
    with tempfile.TemporaryDirectory() as name:
        out, err = Path(name) / "out", Path(name) / "err"
        process = _FORKS.Process(
            target=_become,
            args=(module, arguments),
            kwargs={"env": dict(env), "cwd": cwd or Path.cwd(), "out": out, "err": err},
        )
        process.start()
        process.join(timeout_s)
        if process.exitcode is None:
            process.kill()
            process.join()
            raise subprocess.TimeoutExpired([module, *arguments], timeout_s)
        code = process.exitcode
        process.close()
        done = (out.read_bytes(), err.read_bytes())
    return subprocess.CompletedProcess([module, *arguments], code, *done)


def _become(
    module: str, arguments: Sequence[str], *, env: dict[str, str], cwd: Path, out: Path, err: Path
) -> None:
    os.environ.clear()
    os.environ.update(env)
    os.chdir(cwd)
    os.dup2(os.open(os.devnull, os.O_RDONLY), 0)
    os.dup2(os.open(out, os.O_WRONLY | os.O_CREAT, 0o600), 1)
    os.dup2(os.open(err, os.O_WRONLY | os.O_CREAT, 0o600), 2)
    sys.stdin, sys.stdout = open(0, closefd=False), open(1, "w", closefd=False)  # noqa: SIM115
    sys.stderr = open(2, "w", buffering=1, closefd=False)  # noqa: SIM115
    signal.signal(signal.SIGINT, signal.default_int_handler)
    sys.argv = [module, *arguments]
    try:
        runpy.run_module(module, run_name="__main__", alter_sys=True)
    finally:
        atexit._run_exitfuncs()  # processes of multiprocessing leave them out
