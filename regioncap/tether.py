"""Ends child processes when their parent is gone, even by kill -9.

The parent runs this file as a small process of its own and tells it, through a pipe, what to watch
over: a process, or a process group by its negative number, as kill(2) takes them. When the pipe
closes, the parent is gone: each gets SIGTERM, and after a grace period SIGKILL. Unlike Linux's
PR_SET_PDEATHSIG this takes whole groups along (a Celery worker's pool), lets servers flush, works
on macOS, and does not depend on which thread forked.

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

#: How long they may take to end after SIGTERM, in seconds.
GRACE_S = 5.0
#: How often the process looks whether its parent lives. The pipe says so at once, unless a fork of
#: the parent holds its other end open.
PARENT_CHECK_S = 1.0


class Tether:
    """The parent's end: says which processes and groups must not outlive this process.

    Args:
        keep_fds: Descriptors that the tether holds open until all of them have ended: a lock held
            by one of them stays held that long.
    """

    def __init__(self, keep_fds: tuple[int, ...] = ()) -> None:
        self._keep_fds = keep_fds
        self._targets: set[int] = set()
        self._lock = threading.Lock()
        self._process = self._spawn()

    def add(self, target: int) -> None:
        """Watches over a process, or a process group by its negative number."""
        with self._lock:
            self._targets.add(target)
            self._tell(f"+{target}\n")

    def remove(self, target: int) -> None:
        """Forgets what has ended, before its number is used again."""
        with self._lock:
            self._targets.discard(target)
            self._tell(f"-{target}\n")

    def close(self) -> None:
        """Ends the tether; what is still watched over ends with it."""
        with self._lock:
            self._pipe().close()
        self._process.wait()

    def _tell(self, line: str) -> None:
        try:
            self._write(line)
        except BrokenPipeError:  # killed by someone: a new one learns of all
            self._pipe().close()
            self._process.wait()
            self._process = self._spawn()
            self._write("".join(f"+{target}\n" for target in self._targets))

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
    end_targets(read_targets(0, parent=int(sys.argv[1])), grace_s=GRACE_S)


def read_targets(descriptor: int, parent: int) -> set[int]:
    """Follows the parent's words until it is gone; returns what is left over."""
    targets: set[int] = set()
    rest = b""
    while True:
        ready, _, _ = select.select([descriptor], [], [], PARENT_CHECK_S)
        if not ready:
            if os.getppid() != parent:
                return targets
            continue
        received = os.read(descriptor, 4096)
        if not received:
            return targets
        *lines, rest = (rest + received).split(b"\n")
        for line in lines:
            (targets.add if line[:1] == b"+" else targets.discard)(int(line[1:]))


def end_targets(targets: set[int], grace_s: float) -> None:
    """Sends SIGTERM to all, and SIGKILL to those that are there after the grace period."""
    deadline = time.monotonic() + grace_s
    left = {target for target in targets if send(target, signal.SIGTERM)}
    while left and time.monotonic() < deadline:
        time.sleep(0.05)
        left = {target for target in left if send(target, 0)}
    for target in left:
        send(target, signal.SIGKILL)


def send(target: int, number: int) -> bool:
    """Sends a signal to a process, or to a group by its negative number; False if it is gone."""
    try:
        os.kill(target, number)
    except (ProcessLookupError, PermissionError):  # macOS: the latter, where only zombies are left
        return False
    return True


if __name__ == "__main__":
    main()
