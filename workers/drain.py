"""The end of a worker: shards in hand finish or go back to the queue, within the time given.

    SIGTERM          no new shards; those in hand have `grace_s` to finish, then they go back
    second SIGTERM   they go back now
    a dead engine    no new shards; they go back now, and the exit code asks for a new process

Celery's own warm stop waits without end, and its soft one does not bound a pool of threads.
"""

from __future__ import annotations

import threading
from collections.abc import Callable
from typing import Any, Protocol

import structlog

from regioncap.parallel import Start, sleep, start_thread

_log = structlog.get_logger("regioncap")

#: From telling the shards in hand to stop to ending the process under those that do not.
_LAST_S = 3.0
_LOOK_S = 0.1
#: Exit code of a worker that a supervisor is to start again (EX_SOFTWARE of sysexits.h).
EXIT_DEAD = 70


class Process(Protocol):
    """The worker process that is to end."""

    def in_hand(self) -> int:
        """How many shards it has."""

    def take_no_more(self, code: int) -> None:
        """Takes no new shards; the process is to end with a code."""

    def give_back(self) -> int:
        """Puts back whatever is not acknowledged; how many shards that was."""

    def end(self, code: int) -> None:
        """Ends the process and its children at once."""


class Drain:
    """Ends one worker process.

    Args:
        process: The process.
        grace_s: Time to finish what is in hand.
        on_stop: Called when the worker is told to stop; must not block.
        on_grace_over: Tells what still runs to stop.
        now: Set when the grace is over.
        start: Starts what goes on beside the shards in hand.
        sleep: Waits so many seconds.
    """

    def __init__(
        self,
        process: Process,
        grace_s: float,
        *,
        on_stop: Callable[[], None] = lambda: None,
        on_grace_over: Callable[[], None] = lambda: None,
        now: threading.Event | None = None,
        start: Start = start_thread,
        sleep: Callable[[float], None] = sleep,
    ) -> None:
        self._process = process
        self._grace_s = grace_s
        self._on_stop = on_stop
        self._on_grace_over = on_grace_over
        self._now = now or threading.Event()
        self._start = start
        self._sleep = sleep
        self._begun = False

    def die(self) -> None:
        """Ends the process at once; nothing more is taken, and what is in hand goes back."""
        self._process.take_no_more(EXIT_DEAD)
        self._start("drain", lambda: self._end(EXIT_DEAD))

    def stop(self, **_: Any) -> None:
        """Ends the process in good order; told again, at once. Nothing in here blocks."""
        if self._begun:
            self._now.set()
            return
        self._begun = True
        self._on_stop()
        self._start("drain", self._run)

    def _run(self) -> None:
        _log.info("stopping", grace_s=self._grace_s, in_hand=self._process.in_hand())
        self._now.wait(self._grace_s)
        self._end(0)

    def _end(self, code: int) -> None:
        self._on_grace_over()
        for _ in range(round(_LAST_S / _LOOK_S)):
            if not self._process.in_hand():
                break
            self._sleep(_LOOK_S)
        # Reached only if Celery has not ended the process itself meanwhile.
        _log.info("stopped", put_back=self._process.give_back())
        self._process.end(code)
