"""Locks by which the workers of a machine share its GPUs: a file for each, held by its worker.

The kernel gives a lock back when the last process that holds it has ended, however it ended. The
containers of the compose file use the same, in a volume of theirs.
"""

from __future__ import annotations

import fcntl
import os
import re
from contextlib import suppress
from pathlib import Path

from regioncap.errors import EngineStartError


def take(folder: Path, uuid: str) -> int | None:
    """Takes the lock of a device without waiting.

    Returns:
        A descriptor that holds it until it and all its inherited copies are closed, or None if
        another holds it.

    Raises:
        EngineStartError: `gpu-locks`, if the folder cannot be used.
    """
    try:
        descriptor = _open(_path(folder, uuid))
    except OSError as error:
        raise EngineStartError(
            f"the folder of the GPUs' locks, {folder}, cannot be used: {error.strerror}",
            code="gpu-locks",
            hint="set gpu_locks to a folder that all who start workers here may write to",
        ) from error
    try:
        fcntl.flock(descriptor, fcntl.LOCK_EX | fcntl.LOCK_NB)
    except BlockingIOError:
        os.close(descriptor)
        return None
    return descriptor


def holder(folder: Path, uuid: str) -> str:
    """Who holds the lock of a device, in words."""
    with suppress(OSError):
        status = _path(folder, uuid).stat()
        for line in Path("/proc/locks").read_text("utf-8").splitlines():
            # Number, kind, process, then device and inode of the file (proc_locks(5)).
            match = re.search(r"FLOCK .* (\d+) [0-9a-f]+:[0-9a-f]+:(\d+) 0 EOF", line)
            if match and int(match[2]) == status.st_ino and match[1] != "0":
                return f"process {match[1]}{_command_of(int(match[1]))}"
    return "a worker of another container"


def _path(folder: Path, uuid: str) -> Path:
    # Names of parts may have slashes (MIG-GPU-.../1/0).
    return folder / uuid.replace("/", "_")


def _open(path: Path) -> int:
    """Opens a lock's file; others than its maker may take the lock too, and change nothing."""
    if not path.parent.exists():
        path.parent.mkdir(parents=True, exist_ok=True)
        with suppress(OSError):  # another user was first
            path.parent.chmod(0o1777)
    try:
        return os.open(path, os.O_RDONLY | os.O_NOFOLLOW)
    except FileNotFoundError:
        with suppress(FileExistsError):
            made = os.open(path, os.O_RDONLY | os.O_CREAT | os.O_EXCL)
            os.fchmod(made, 0o644)  # whatever the umask
            os.close(made)
        return os.open(path, os.O_RDONLY | os.O_NOFOLLOW)


def _command_of(pid: int) -> str:
    try:
        words = Path(f"/proc/{pid}/cmdline").read_bytes().decode("utf-8", "replace").split("\0")
    except OSError:
        return ""
    shown = " ".join(words).strip()
    return f" ({shown[:77]}...)" if len(shown) > 80 else f" ({shown})"
