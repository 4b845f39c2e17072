"""The stack that some process runs in a folder: how settings and commands find it.

It is found from its folder and from all below it. Where it runs is noted for this user, so that a
command elsewhere can say so.
"""

from __future__ import annotations

import fcntl
import hashlib
import json
import os
from collections.abc import Iterator
from contextlib import contextmanager, suppress
from dataclasses import dataclass, field
from pathlib import Path


@dataclass(frozen=True, slots=True)
class RunningStack:
    """A stack that some process runs in a folder."""

    #: The process that runs it: SIGTERM ends the stack.
    pid: int
    #: As `LocalStack.settings`.
    settings: dict[str, str] = field(repr=False)
    #: The queues whose workers are being started, and do not serve yet.
    starting: tuple[str, ...] = ()


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
    return RunningStack(info["pid"], info["settings"], tuple(info.get("starting", ())))


def folder_above(start: Path, name: Path) -> Path | None:
    """The nearest folder in which a stack is up: the one that is named, or one above it.

    Above it only those count that belong to this user: whoever may write to a folder like /tmp is
    not to be told what is submitted below it.

    Args:
        start: Where to begin.
        name: Where a stack keeps its data, in its folder.
    """
    here = start.absolute()
    for folder in [here, *here.parents]:
        data = folder / name
        try:
            is_ours = folder == here or data.stat().st_uid == os.getuid()
            if is_ours and find_stack(data) is not None:
                return folder
        except (OSError, ValueError, KeyError):
            continue
    return None


@contextmanager
def noted(folder: Path) -> Iterator[None]:
    """Notes, for as long as the block runs, that a stack of this user runs in a folder."""
    note = _notes() / hashlib.sha256(str(folder.absolute()).encode()).hexdigest()[:16]
    with suppress(OSError):
        note.parent.mkdir(mode=0o700, parents=True, exist_ok=True)
        note.write_text(str(folder.absolute()))
    try:
        yield
    finally:
        with suppress(OSError):
            note.unlink(missing_ok=True)


def running_folders(name: Path) -> list[Path]:
    """The folders in which this user's stacks run; notes of others are removed."""
    found = []
    with suppress(OSError):
        for note in sorted(_notes().iterdir()):
            folder = Path(note.read_text())
            if find_stack(folder / name) is not None:
                found.append(folder)
            else:
                note.unlink(missing_ok=True)
    return found


def _notes() -> Path:
    state = os.environ.get("XDG_STATE_HOME") or Path.home() / ".local" / "state"
    return Path(state) / "regioncap" / "stacks"


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
