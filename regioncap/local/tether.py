"""Ends child processes when their parent is gone, even by kill -9.

The parent runs this file as a small process of its own and tells it, through a pipe, which process
groups to watch over. When the pipe closes, the parent is gone: every group gets SIGTERM, and after
a grace period SIGKILL. Unlike Linux's PR_SET_PDEATHSIG this takes whole groups along (a Celery
worker's pool), lets servers flush, works on macOS, and does not depend on which thread forked.

The process side uses the standard library only, since it runs with `python -I -S`.
"""

from __future__ import annotations

import os
import select
import signal
import subprocess
import sys
import threading
import time
from typing import IO

#: How long groups may take to end after SIGTERM, in seconds.
GRACE_S = 5.0
#: How often the process looks whether its parent lives. The pipe says so at once, unless a fork of
#: the parent holds its other end open.
PARENT_CHECK_S = 1.0


class Tether:
    """The parent's end: says which process groups must not outlive this process.

    Args:
        keep_fds: Descriptors that the tether holds open until every group has ended: a lock held
            by one of them stays held that long.
    """

    def __init__(self, keep_fds: tuple[int, ...] = ()) -> None:
        self._keep_fds = keep_fds
        self._groups: set[int] = set()
        self._lock = threading.Lock()
        self._process = self._spawn()

    def add(self, group: int) -> None:
        """Watches over a process group."""
        with self._lock:
            self._groups.add(group)
            self._tell(f"+{group}\n")

    def remove(self, group: int) -> None:
        """Forgets a process group that has ended, before its number is used again."""
        with self._lock:
            self._groups.discard(group)
            self._tell(f"-{group}\n")

    def close(self) -> None:
        """Ends the process; groups that are still watched over end with it."""
        with self._lock:
            self._pipe().close()
        self._process.wait()

    def _tell(self, line: str) -> None:
        try:
            self._write(line)
        except BrokenPipeError:  # killed by someone: a new one learns of all groups
            self._pipe().close()
            self._process.wait()
            self._process = self._spawn()
            self._write("".join(f"+{group}\n" for group in self._groups))

    def _write(self, text: str) -> None:
        self._pipe().write(text.encode())

    def _pipe(self) -> IO[bytes]:
        assert self._process.stdin is not None  # noqa: S101 - it was asked for below
        return self._process.stdin

    def _spawn(self) -> subprocess.Popen[bytes]:
        return subprocess.Popen(  # noqa: S603 - this very file, by this very interpreter
            [sys.executable, "-I", "-S", __file__, str(os.getpid())],
            stdin=subprocess.PIPE,
            bufsize=0,
            start_new_session=True,
            pass_fds=self._keep_fds,
        )


def main() -> None:
    """Watches until the parent is gone, then ends what it left."""
    # A service manager may signal every process of a service at once: the parent's orderly stop
    # comes first.
    for number in (signal.SIGTERM, signal.SIGINT, signal.SIGHUP):
        signal.signal(number, signal.SIG_IGN)
    end_groups(read_groups(0, parent=int(sys.argv[1])), grace_s=GRACE_S)


def read_groups(descriptor: int, parent: int) -> set[int]:
    """Follows the parent's words until it is gone; returns the groups left over."""
    groups: set[int] = set()
    rest = b""
    while True:
        ready, _, _ = select.select([descriptor], [], [], PARENT_CHECK_S)
        if not ready:
            if os.getppid() != parent:
                return groups
            continue
        received = os.read(descriptor, 4096)
        if not received:
            return groups
        *lines, rest = (rest + received).split(b"\n")
        for line in lines:
            (groups.add if line[:1] == b"+" else groups.discard)(int(line[1:]))


def end_groups(groups: set[int], grace_s: float) -> None:
    """Sends SIGTERM to all groups, and SIGKILL to those that are there after the grace period."""
    deadline = time.monotonic() + grace_s
    left = {group for group in groups if signal_group(group, signal.SIGTERM)}
    while left and time.monotonic() < deadline:
        time.sleep(0.05)
        left = {group for group in left if signal_group(group, 0)}
    for group in left:
        signal_group(group, signal.SIGKILL)


def signal_group(group: int, number: int) -> bool:
    """Sends a signal to a process group; False if nothing of it is left."""
    try:
        os.killpg(group, number)
    except (ProcessLookupError, PermissionError):  # macOS: the latter, where only zombies are left
        return False
    return True


if __name__ == "__main__":
    main()
