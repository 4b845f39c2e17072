"""One engine on one event loop in one thread, for callers in many threads.

An asynchronous engine must live on a single loop; Celery's tasks run in threads of their own.
"""

from __future__ import annotations

import asyncio
import threading
from collections.abc import Coroutine
from concurrent.futures import Future
from typing import Any, TypeVar

from regioncap.engines.base import Engine

T = TypeVar("T")


class EngineThread:
    """Runs an engine's event loop.

    Args:
        engine: A fresh engine; it is started, used and closed only here.
    """

    def __init__(self, engine: Engine) -> None:
        self.engine = engine
        self._loop = asyncio.new_event_loop()
        self._thread = threading.Thread(target=self._loop.run_forever, name="engine", daemon=True)

    def start(self) -> None:
        """Starts the thread and the engine; returns when it is warm.

        Raises:
            EngineStartError: The engine cannot start.
        """
        self._thread.start()
        self.run(self.engine.start()).result()

    def run(self, work: Coroutine[Any, Any, T]) -> Future[T]:
        """Runs a coroutine on the engine's loop; cancelling the future cancels it."""
        return asyncio.run_coroutine_threadsafe(work, self._loop)

    def check(self, timeout_s: float | None = None) -> None:
        """Returns if the engine serves; see `Engine.health`.

        Args:
            timeout_s: How long its answer may take; None for as long as it does.

        Raises:
            EngineDeadError, EngineAwayError: It does not.
            TimeoutError: It has not answered.
        """
        answer = self.run(self.engine.health())
        try:
            answer.result(timeout_s)
        finally:
            answer.cancel()  # else one more would wait for the engine after each look in vain

    def close(self) -> None:
        """Closes the engine and ends the thread."""
        if self._thread.is_alive():
            self.run(self.engine.close()).result()
            self._loop.call_soon_threadsafe(self._loop.stop)
            self._thread.join()
        self._loop.close()
