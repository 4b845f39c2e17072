"""Commands and workers in processes that are forked from one which has imported their modules.

That is most of what a start takes of a processor, and tests start hundreds.
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
import threading
import time
from collections.abc import Mapping, Sequence
from contextlib import suppress
from dataclasses import dataclass
from multiprocessing import connection
from multiprocessing.context import ForkServerProcess
from pathlib import Path

#: What commands and workers import, themselves or for what they do; none of it looks at its
#: environment then.
MODULES = [
    "producer.cli", "regioncap.client", "regioncap.inputs.source", "regioncap.inputs.validate",
    "regioncap.outputs.gallery", "regioncap.outputs.exports", "regioncap.local",
    "celery.bin.celery", "celery.apps.worker", "celery.concurrency.prefork",
    "celery.concurrency.thread", "celery.worker.strategy", "kombu.transport.redis",
    "regioncap.engines.baseline", "regioncap.jobs.caption", "regioncap.jobs.ends",
    "regioncap.jobs.janitor", "regioncap.jobs.load", "regioncap.jobs.render",
    "regioncap.services.feeder", "regioncap.services.leases", "workers.backup", "workers.drain",
    "workers.intake", "workers.monitor", "workers.recall", "workers.shards", "workers.task",
]  # fmt: skip
_HARMLESS = ("REGIONCAP_", "PYTEST_", "PYTHONPATH", "DIRECT_", "HUNGRY_", "HURT_")
_FORKS = multiprocessing.get_context("forkserver")
_FORKS.set_forkserver_preload(MODULES)


def is_fit(env: Mapping[str, str]) -> bool:
    """Whether an environment differs from the tests' own in nothing that an import looks at.

    Packages may look at theirs, and versions of ours beside this one (`tests.support.older`,
    `newer`) are made before the others are imported.
    """

    def others(variables: Mapping[str, str]) -> dict[str, str]:
        return {name: value for name, value in variables.items() if not name.startswith(_HARMLESS)}

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
        process = _fork(module, arguments, _Place(dict(env), cwd or Path.cwd(), out, err))
        process.join(timeout_s)
        if process.exitcode is None:
            process.kill()
            process.join()
            raise subprocess.TimeoutExpired([module, *arguments], timeout_s)
        code = process.exitcode
        process.close()
        done = (out.read_bytes(), err.read_bytes())
    return subprocess.CompletedProcess([module, *arguments], code, *done)


class Started:
    """A process of `start`, with what tests ask of a `subprocess.Popen`."""

    def __init__(self, process: ForkServerProcess) -> None:
        assert process.pid is not None
        self.pid = process.pid
        self._process = process
        self._lock = threading.Lock()  # its exit status can be read once

    def poll(self) -> int | None:
        """Its exit status, negative for a signal; None while it runs."""
        with self._lock:
            return self._process.exitcode

    def wait(self, timeout_s: float | None = None) -> int:
        """Waits for its end.

        Raises:
            subprocess.TimeoutExpired: It takes longer.
        """
        if self.poll() is None:
            connection.wait([self._process.sentinel], timeout_s)
        code = self.poll()
        if code is None:
            raise subprocess.TimeoutExpired(self._process.name, timeout_s or 0.0)
        return code

    def send_signal(self, number: int) -> None:
        """Sends a signal; nothing if it has ended."""
        with self._lock:
            if self._process.exitcode is None:
                os.kill(self.pid, number)


def start(
    module: str, arguments: Sequence[str], *, env: Mapping[str, str], cwd: Path, log: Path
) -> Started:
    """Starts `python -m MODULE` in a session of its own; its output is appended to a file."""
    log.touch()
    process = _fork(module, arguments, _Place(dict(env), cwd, log, log, own_session=True))
    started = Started(process)
    with suppress(ProcessLookupError):  # it has ended already
        while os.getpgid(started.pid) != started.pid:
            time.sleep(0.002)
    return started


@dataclass(frozen=True)
class _Place:
    """Where a process runs, and where its output goes."""

    env: Mapping[str, str]
    cwd: Path
    out: Path
    err: Path
    #: Whether it leads a session.
    own_session: bool = False


def _fork(module: str, arguments: Sequence[str], place: _Place) -> ForkServerProcess:
    process = _FORKS.Process(target=_become, args=(module, arguments, place))
    process.start()
    return process


def _become(module: str, arguments: Sequence[str], place: _Place) -> None:
    if place.own_session:
        os.setsid()
    os.environ.clear()
    os.environ.update(place.env)
    os.chdir(place.cwd)
    os.dup2(os.open(os.devnull, os.O_RDONLY), 0)
    for descriptor, file in ((1, place.out), (2, place.err)):
        os.dup2(os.open(file, os.O_WRONLY | os.O_CREAT | os.O_APPEND, 0o600), descriptor)
    sys.stdin, sys.stdout = open(0, closefd=False), open(1, "w", closefd=False)  # noqa: SIM115
    sys.stderr = open(2, "w", buffering=1, closefd=False)  # noqa: SIM115
    signal.signal(signal.SIGINT, signal.default_int_handler)
    sys.argv = [module, *arguments]
    try:
        runpy.run_module(module, run_name="__main__", alter_sys=True)
    finally:
        atexit._run_exitfuncs()  # processes of multiprocessing leave them out
