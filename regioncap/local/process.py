"""Child processes: started, watched, started again, and stopped in order."""

from __future__ import annotations

import json
import os
import signal
import subprocess
import threading
import time
from collections.abc import Callable, Iterable, Mapping
from concurrent.futures import ThreadPoolExecutor
from contextlib import ExitStack
from dataclasses import dataclass, field
from pathlib import Path
from typing import BinaryIO, Self

from regioncap.errors import ServiceError
from regioncap.tether import Tether, send

#: A child that has run this long is well: the pause after its next exit is a short one.
HEALTHY_AFTER_S = 30.0
#: The first pause before a restart; it doubles with each exit before HEALTHY_AFTER_S.
FIRST_PAUSE_S = 0.2
LONGEST_PAUSE_S = 30.0
#: A log longer than this is moved aside when its child is added.
MAX_LOG_BYTES = 10 * 1024 * 1024
_PROBE_PAUSE_S = 0.03
_TAIL_LINES = 12


@dataclass(frozen=True, slots=True, kw_only=True)
class Command:
    """What to run, and how."""

    #: Names the log file and the child in messages.
    name: str
    argv: tuple[str, ...]
    cwd: Path | None = None
    #: The whole environment; None for this process's own.
    env: Mapping[str, str] | None = field(default=None, repr=False)
    #: Whether a child that has served and ends by itself is started again.
    restart: bool = True
    #: Time from SIGTERM to SIGKILL.
    stop_timeout_s: float = 10.0
    #: File mode mask of the child; -1 for this process's own.
    umask: int = -1
    #: Descriptors that the child inherits.
    keep_fds: tuple[int, ...] = ()
    #: Whether it is told to stop at once with its neighbours of the same kind, not one by one.
    stop_together: bool = False


#: Is told of a child that has ended by itself, and of the seconds until it is started again.
OnRestart = Callable[["Child", float], None]


class Child:
    """A running command in a session of its own, with a thread that waits for its end.

    Once it was ready, it is started again whenever it ends, for ever. One that ends before stays
    down: what it lacks, it would lack again.

    Args:
        command: What to run.
        log_path: Where its output goes, appended; None for that of this process.
        tether: What ends it when this process is killed.
        on_restart: Called in a thread of the child's.
    """

    def __init__(
        self,
        command: Command,
        log_path: Path | None,
        tether: Tether,
        on_restart: OnRestart = lambda *_: None,
    ) -> None:
        self.command = command
        self.log_path = log_path
        #: Whether it has served.
        self.was_ready = False
        #: How often it was started again.
        self.restarts = 0
        #: How often it ended by itself.
        self.exits = 0
        #: Exit status of its latest end; negative for a signal; None before the first end.
        self.returncode: int | None = None
        self._tether = tether
        self._on_restart = on_restart
        self._stopping = threading.Event()
        self._spawn_lock = threading.Lock()
        self._process = self._spawn()
        self._watcher = threading.Thread(
            target=self._watch, name=f"watch-{command.name}", daemon=True
        )
        self._watcher.start()

    @property
    def pid(self) -> int:
        """Process id of the latest start."""
        return self._process.pid

    @property
    def is_watched(self) -> bool:
        """Whether it runs or is about to be started again; False once it is down for good."""
        return self._watcher.is_alive()

    def wait_ready(self, probe: Callable[[], bool], timeout_s: float) -> None:
        """Waits until the probe says that the child serves.

        Raises:
            ServiceError: The child ended first, or did not serve in time (`stack-start`); the
                message holds its last words.
        """
        deadline = time.monotonic() + timeout_s
        while not probe():
            if self.exits:
                raise self._start_error(f"ended with {self.how_it_ended}")
            if time.monotonic() > deadline:
                raise self._start_error(f"did not answer within {timeout_s:g} s")
            time.sleep(_PROBE_PAUSE_S)
        self.was_ready = True

    def join(self, timeout_s: float | None = None) -> bool:
        """Waits until it is down for good; False if the time ran out first."""
        self._watcher.join(timeout_s)
        return not self._watcher.is_alive()

    def ask_to_stop(self) -> None:
        """Sends SIGTERM and starts it no more; nothing the second time."""
        if self._stopping.is_set():
            return
        self._stopping.set()
        with self._spawn_lock:
            if self._watcher.is_alive() and self._process.poll() is None:
                self._process.send_signal(signal.SIGTERM)

    def stop(self) -> None:
        """Sends SIGTERM, then SIGKILL to its whole group; does nothing to a child that is down."""
        self.ask_to_stop()
        if not self.join(self.command.stop_timeout_s):
            self.kill()
            self.join()

    def kill(self) -> None:
        """Sends SIGKILL to its whole group, as a crash of it; the watcher starts it again."""
        send(-self.pid, signal.SIGKILL)

    @property
    def how_it_ended(self) -> str:
        """Its latest end in words."""
        status = self.returncode or 0
        if status >= 0:
            return f"exit status {status}"
        return f"signal {-status} ({signal.strsignal(-status)})"

    def log_tail(self, lines: int = _TAIL_LINES) -> str:
        """The last lines of its log; empty if it has none of its own."""
        if self.log_path is None:
            return ""
        text = self.log_path.read_text(encoding="utf-8", errors="replace")
        return "\n".join(text.splitlines()[-lines:])

    def last_words(self) -> str:
        """What its log says last: a line, or of an entry in JSON the error."""
        line = next(filter(None, map(str.strip, reversed(self.log_tail().splitlines()))), "nothing")
        try:
            entry = json.loads(line)
        except ValueError:
            return line
        return str(entry.get("error") or entry.get("event")) if isinstance(entry, dict) else line

    def _spawn(self) -> subprocess.Popen[bytes]:
        with ExitStack() as stack:
            log = None if self.log_path is None else stack.enter_context(_open_log(self.log_path))
            process = subprocess.Popen(  # noqa: S603 - commands are this package's own
                self.command.argv,
                cwd=self.command.cwd,
                env=self.command.env,
                stdin=subprocess.DEVNULL,
                stdout=log,
                stderr=None if log is None else subprocess.STDOUT,
                start_new_session=True,  # Ctrl-C in the terminal is the parent's to handle
                umask=self.command.umask,
                pass_fds=self.command.keep_fds,
            )
        self._tether.add(-process.pid)
        return process

    def _watch(self) -> None:
        quick_exits = 0
        while True:
            started_s = time.monotonic()
            self._bury(self._process.wait())
            healthy = time.monotonic() - started_s > HEALTHY_AFTER_S
            quick_exits = 0 if healthy else quick_exits + 1
            if self._stopping.is_set() or not (self.command.restart and self.was_ready):
                return
            pause_s = min(LONGEST_PAUSE_S, FIRST_PAUSE_S * 2 ** min(quick_exits, 16))
            self._on_restart(self, pause_s)
            if self._stopping.wait(pause_s) or not self._respawn():
                return

    def _bury(self, returncode: int) -> None:
        # A pool's processes may have outlived their leader.
        send(-self.pid, signal.SIGKILL)
        self._tether.remove(-self.pid)
        self.returncode = returncode
        if not self._stopping.is_set():
            self.exits += 1

    def _respawn(self) -> bool:
        with self._spawn_lock:
            if self._stopping.is_set():
                return False
            self._process = self._spawn()
            self.restarts += 1
            return True

    def _start_error(self, what: str) -> ServiceError:
        return ServiceError(
            f"{self.command.name} {what}; its last words: {self.last_words()}",
            code="stack-start",
            hint=f"see {self.log_path or 'the log above'}",
        )


def _open_log(path: Path) -> BinaryIO:
    return os.fdopen(os.open(path, os.O_WRONLY | os.O_APPEND | os.O_CREAT, 0o600), "ab")


class Supervisor:
    """The children of one purpose, stopped in the reverse order of their start.

    When this process dies in any way, its children are ended too.

    Args:
        log_dir: Folder for `<name>.log`; made if it is missing. None leaves children the output of
            this process.
        keep_fds: Descriptors held open until every child has ended, also after this process.
        on_restart: Told of each child that is about to be started again, in any thread.
    """

    def __init__(
        self,
        log_dir: Path | None,
        keep_fds: tuple[int, ...] = (),
        on_restart: OnRestart = lambda *_: None,
    ) -> None:
        if log_dir is not None:
            log_dir.mkdir(mode=0o700, parents=True, exist_ok=True)
        self.log_dir = log_dir
        self.children: list[Child] = []
        self._tether = Tether(keep_fds)
        self._on_restart = on_restart
        self._starting = threading.Lock()
        self._is_stopped = False
        self._held: list[int] = []

    def hold(self, descriptors: Iterable[int]) -> None:
        """Takes descriptors over, to be closed when all children have ended."""
        self._held += descriptors

    def start(self, command: Command) -> Child:
        """Starts a command and watches it.

        Raises:
            ServiceError: It cannot be started at all (`stack-start`).
        """
        # In a thread, where no Ctrl-C comes between a start and its being known: it would leave
        # behind a child that nobody ends. One that comes meanwhile is heard afterwards.
        with ThreadPoolExecutor(1) as thread:
            return thread.submit(self._start, command).result()

    def _start(self, command: Command) -> Child:
        log_path = self.log_dir and self.log_dir / f"{command.name}.log"
        with self._starting:
            if self._is_stopped:
                raise ServiceError(f"{command.name}: it is too late to start", code="stack-start")
            if log_path and log_path.exists() and log_path.stat().st_size > MAX_LOG_BYTES:
                log_path.replace(log_path.with_suffix(".log.1"))
            try:
                child = Child(command, log_path, self._tether, self._on_restart)
            except OSError as error:
                raise ServiceError(
                    f"{command.name} cannot be started: {error}", code="stack-start"
                ) from error
            self.children.append(child)
            return child

    def ended(self) -> list[Child]:
        """Children that are down for good without having been asked to stop."""
        return [child for child in self.children if not child.is_watched]

    def stop(self) -> None:
        """Stops all children, the latest first, and starts no more; nothing the second time."""
        with self._starting:
            self._is_stopped = True
        while self.children:
            for child in reversed(self.children):
                if not child.command.stop_together:
                    break
                child.ask_to_stop()
            self.children[-1].stop()
            self.children.pop()
        self._tether.close()
        while self._held:
            os.close(self._held.pop())

    def __enter__(self) -> Self:
        return self

    def __exit__(self, *_: object) -> None:
        self.stop()
