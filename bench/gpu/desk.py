"""Tasks for a process that holds an engine: files of JSON in a folder, one after the other."""

from __future__ import annotations

import json
import time
import traceback
from collections.abc import Callable
from pathlib import Path
from typing import Any

_POLL_S = 0.02
_UP = "up.json"

Task = dict[str, Any]


class TaskError(Exception):
    """A task that was answered with an error; the message says which."""


class Desk:
    """The side that asks.

    Args:
        folder: Where the tasks lie; made if it is missing.
        check: Raises if nobody will answer any more.
    """

    def __init__(self, folder: Path, check: Callable[[], None]) -> None:
        folder.mkdir(parents=True, exist_ok=True)
        self._folder = folder
        self._check = check
        self._asked = 0

    def ask(self, task: Task, timeout_s: float) -> Task:
        """Hands a task over and waits for what comes of it.

        Raises:
            TaskError: It failed.
            TimeoutError: It took too long, and may still be under way.
        """
        deadline = time.monotonic() + timeout_s
        answer = self._folder / f"answer-{self._asked}.json"
        _write(self._folder / f"task-{self._asked}.json", task)
        self._asked += 1
        while not answer.exists():
            self._check()
            if time.monotonic() > deadline:
                raise TimeoutError(f"took longer than {timeout_s:.0f} s")
            time.sleep(_POLL_S)
        found: Task = json.loads(answer.read_text())
        if "error" in found:
            raise TaskError(found["error"])
        return found

    def up_at_s(self) -> float:
        """When the other side began to answer, by the clock; to be asked after an answer."""
        return float(json.loads((self._folder / _UP).read_text())["at_s"])


def serve(folder: Path, answer: Callable[[Task], Task]) -> None:
    """The side that answers, for ever."""
    _write(folder / _UP, {"at_s": time.time()})
    number = 0
    while True:
        file = folder / f"task-{number}.json"
        if not file.exists():
            time.sleep(_POLL_S)
            continue
        try:
            found = answer(json.loads(file.read_text()))
        except Exception:  # the bench goes on with its other rows
            found = {"error": traceback.format_exc()}
        _write(folder / f"answer-{number}.json", found)
        number += 1


def _write(path: Path, value: Task) -> None:
    """Whole or not at all, for a reader that waits for it."""
    part = path.with_suffix(".part")
    part.write_text(json.dumps(value))
    part.rename(path)
