"""The end of a worker: shards in hand finish or go back to the queue, within the time given.

    SIGTERM          no new shards; those in hand have `grace_s` to finish, then they go back
    second SIGTERM   they go back now
    a dead engine    no new shards; they go back now, and the exit code asks for a new process

Celery's own warm stop waits without end, and its soft one does not bound a pool of threads.
"""

from __future__ import annotations

import os
import signal
import threading
from collections.abc import Callable
from typing import Any

import structlog
from celery import signals
from celery.worker import WorkController, state

_log = structlog.get_logger("regioncap")

#: From telling the shards in hand to stop to ending the process under those that do not.
_LAST_S = 3.0
#: Exit code of a worker that a supervisor is to start again (EX_SOFTWARE of sysexits.h).
EXIT_DEAD = 70


class Drain:
    """Ends one worker process.

    Args:
        grace_s: Time to finish what is in hand.
        on_stop: Called when the worker is told to stop; must not block.
        on_grace_over: Tells what still runs to stop.
    """

    def __init__(
        self,
        grace_s: float,
        *,
        on_stop: Callable[[], None] = lambda: None,
        on_grace_over: Callable[[], None] = lambda: None,
    ) -> None:
        self._grace_s = grace_s
        self._on_stop = on_stop
        self._on_grace_over = on_grace_over
        self._worker: WorkController | None = None
        self._begun = False
        self._now = threading.Event()
        signals.worker_init.connect(self._take_worker, weak=False)
        signals.worker_shutting_down.connect(self._told, weak=False)

    def die(self) -> None:
        """Ends the process at once; nothing more is taken, and what is in hand goes back."""
        # Celery's loop looks at it before it reads the next message.
        state.should_stop = EXIT_DEAD
        threading.Thread(target=self._end, args=(EXIT_DEAD,), name="drain", daemon=True).start()

    def _take_worker(self, sender: WorkController, **_: Any) -> None:
        self._worker = sender

    def _told(self, **_: Any) -> None:
        # Runs in a signal handler: only what cannot block.
        if self._begun:
            self._now.set()
            return
        self._begun = True
        self._on_stop()
        threading.Thread(target=self._run, name="drain", daemon=True).start()

    def _run(self) -> None:
        _log.info("stopping", grace_s=self._grace_s, in_hand=len(state.active_requests))
        self._now.wait(self._grace_s)
        self._end(0)

    def _end(self, code: int) -> None:
        self._on_grace_over()
        for _ in range(int(_LAST_S * 10)):
            if not state.active_requests:
                break
            threading.Event().wait(0.1)
        # Reached only if Celery has not ended the process itself meanwhile.
        self._give_back()
        self._kill_children()
        os._exit(code)

    def _give_back(self) -> None:
        """Puts back whatever this process has not acknowledged."""
        consumer = getattr(self._worker, "consumer", None)
        tasks = getattr(consumer, "task_consumer", None)
        if tasks is None:
            return
        qos = tasks.channel.qos
        tags = list(qos._delivered)
        for tag in tags:
            try:
                qos.restore_by_tag(tag)
            except Exception as error:  # its lease runs out instead
                _log.warning("a shard could not be put back", error=type(error).__name__)
                break
        _log.info("stopped", put_back=len(tags))

    def _kill_children(self) -> None:
        pool = getattr(self._worker, "pool", None)
        for pid in (pool.info or {}).get("processes", []) if pool else []:
            if isinstance(pid, int):
                os.kill(pid, signal.SIGKILL)
