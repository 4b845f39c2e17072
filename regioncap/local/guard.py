"""Starts the object store again when a full disk has left it stuck.

SeaweedFS keeps its names in LevelDB, which refuses every write after one that found the disk full,
also when there is room again; only a new process writes.
"""

from __future__ import annotations

import shutil
import threading
from contextlib import suppress
from pathlib import Path

from regioncap.local.process import Child

#: How Go says ENOSPC.
_FULL = b"no space left on device"
#: SeaweedFS itself takes a disk with less than this part free for full.
_LEAST_FREE = 0.01
_PERIOD_S = 2.0
#: Time for a new process to start before its log is looked at.
_PAUSE_S = 30.0


class Guard:
    """Reads the log of a server that complains of a full disk, in a thread of its own.

    Args:
        child: The server.
        folder: Where its data lie.
    """

    def __init__(self, child: Child, folder: Path) -> None:
        assert child.log_path is not None  # noqa: S101 - the servers of a stack have logs
        self._child = child
        self._log_path = child.log_path
        self._folder = folder
        self._read_bytes = child.log_path.stat().st_size
        self._stopped = threading.Event()
        self._thread = threading.Thread(target=self._run, name="guard", daemon=True)
        self._thread.start()

    def stop(self) -> None:
        """Ends the thread; the server runs on."""
        self._stopped.set()
        self._thread.join()

    def _run(self) -> None:
        while not self._stopped.wait(_PERIOD_S):
            if self._complains() and self._has_room():
                # Told to stop, it is still there after ten seconds; a kill costs it nothing.
                self._child.kill()
                self._stopped.wait(_PAUSE_S)

    def _complains(self) -> bool:
        """Whether the log has grown by a complaint."""
        news = b""
        with suppress(OSError), self._log_path.open("rb") as log:
            log.seek(self._read_bytes)
            news = log.read()
        self._read_bytes += len(news)
        return _FULL in news

    def _has_room(self) -> bool:
        usage = shutil.disk_usage(self._folder)
        return usage.free > usage.total * _LEAST_FREE
