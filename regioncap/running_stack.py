"""The stack that some process runs in a folder: how settings and commands find it."""

from __future__ import annotations

import fcntl
import json
import os
from dataclasses import dataclass, field
from pathlib import Path


@dataclass(frozen=True, slots=True)
class RunningStack:
    """A stack that some process runs in a folder."""

    #: The process that runs it: SIGTERM ends the stack.
    pid: int
    #: As `LocalStack.settings`.
    settings: dict[str, str] = field(repr=False)


def find_stack(folder: Path) -> RunningStack | None:
    """The stack that is up in a folder, started by whatever process; None if there is none."""
    try:
        info = json.loads((folder / "stack.json").read_text())
    except FileNotFoundError:
        return None
    lock = try_lock(folder / "stack.lock", shared=True)
    if lock is not None:  # left behind by a killed process
        os.close(lock)
        return None
    return RunningStack(pid=info["pid"], settings=info["settings"])


def try_lock(path: Path, *, shared: bool = False) -> int | None:
    """Locks a file without waiting.

    Returns:
        A descriptor that holds the lock until it and all its inherited copies are closed, or None
        if another holds the lock.
    """
    descriptor = os.open(path, os.O_RDWR | os.O_CREAT, 0o600)
    kind = fcntl.LOCK_SH if shared else fcntl.LOCK_EX
    try:
        fcntl.flock(descriptor, kind | fcntl.LOCK_NB)
    except BlockingIOError:
        os.close(descriptor)
        return None
    return descriptor
