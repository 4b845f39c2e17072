"""A process that holds an engine, and is asked through a desk."""

from __future__ import annotations

import sys
import time
from contextlib import suppress
from pathlib import Path
from typing import Any, Self

import psutil

from bench.gpu.desk import Desk, Task, TaskError
from regioncap.engines.gpu import visible_gpus
from regioncap.errors import RegionCapError, ServiceError
from regioncap.local import Command, LocalStack

#: How long a GPU may take to give back the memory of a process that has ended.
_FREE_TIMEOUT_S = 20.0
_END_TIMEOUT_S = 30.0


class Holder:
    """Starts it as a child of the stack; `ready` waits for its engine.

    Args:
        stack: A started stack.
        command: What to run; it serves the desk when its engine is up.
        folder: The desk's.
    """

    def __init__(self, stack: LocalStack, command: Command, folder: Path) -> None:
        assert stack.supervisor is not None
        self._supervisor = stack.supervisor
        self._started_at_s = time.time()
        self._child = self._supervisor.start(command)
        self._desk = Desk(folder, self._check)
        #: What is told of the engine: how long it took to start, and what bounds its batch.
        self.figures: dict[str, Any] = {}

    @property
    def pid(self) -> int:
        """Of the process."""
        return self._child.pid

    def ready(self, limit_s: float) -> None:
        """Waits until the engine is up.

        Raises:
            ServiceError: It ended.
            TimeoutError: It takes too long.
        """
        engine = self.ask({"do": "describe"}, limit_s)
        start_s = self._desk.up_at_s() - self._started_at_s
        self.figures = {"start_s": start_s, "engine": engine}

    def ask(self, task: Task, limit_s: float) -> Task:
        """Has a task done; if that fails, its log's end goes to stderr."""
        try:
            return self._desk.ask(task, limit_s)
        except (TaskError, TimeoutError, ServiceError):
            print(self._child.log_tail(40), file=sys.stderr, flush=True)
            raise

    def close(self) -> None:
        """Ends the process and waits until nothing of it is left."""
        started: list[psutil.Process] = []
        with suppress(psutil.NoSuchProcess):
            started = psutil.Process(self.pid).children(recursive=True)
        self._child.stop()
        psutil.wait_procs(started, timeout=_END_TIMEOUT_S)
        self._supervisor.children.remove(self._child)

    def __enter__(self) -> Self:
        return self

    def __exit__(self, *_: object) -> None:
        self.close()

    def _check(self) -> None:
        if not self._child.is_watched:
            raise ServiceError(f"{self._child.command.name} ended: {self._child.last_words()}")


def wait_for_gpu() -> None:
    """Waits until the GPU has given back the memory of processes that have ended, for a while."""
    deadline = time.monotonic() + _FREE_TIMEOUT_S
    while not _gpu_is_free() and time.monotonic() < deadline:
        time.sleep(0.5)


def _gpu_is_free() -> bool:
    try:
        gpus = visible_gpus()
    except RegionCapError:
        return True
    return all(gpu.free_bytes > 0.95 * gpu.total_bytes for gpu in gpus[:1])
