"""A turnstile: many shards at a time, or one alone."""

from __future__ import annotations

from collections.abc import Callable, Iterator
from contextlib import contextmanager

from regioncap.parallel import REAL, Runtime


class Turnstile:
    """Lets shards run side by side, and a suspect one alone; the latter goes first.

    What dies with the process can then be told to be the suspect's doing.

    Args:
        check: Raises if waiting has become pointless; called while waiting.
        runtime: The threads.
    """

    def __init__(self, check: Callable[[], None], runtime: Runtime = REAL) -> None:
        self._check = check
        self._changed = runtime.condition()
        self._inside = 0
        self._alone = False
        self._alone_waiting = 0

    @contextmanager
    def shared(self) -> Iterator[None]:
        """Runs the block beside others."""
        with self._changed:
            self._wait(lambda: not self._alone and not self._alone_waiting)
            self._inside += 1
        try:
            yield
        finally:
            with self._changed:
                self._inside -= 1
                self._changed.notify_all()

    @contextmanager
    def alone(self) -> Iterator[None]:
        """Runs the block while no other runs."""
        with self._changed:
            self._alone_waiting += 1
            try:
                self._wait(lambda: not self._alone and not self._inside)
                self._alone = True
            finally:
                self._alone_waiting -= 1
                self._changed.notify_all()
        try:
            yield
        finally:
            with self._changed:
                self._alone = False
                self._changed.notify_all()

    def _wait(self, may_go: Callable[[], bool]) -> None:
        while not may_go():
            self._check()
            self._changed.wait(0.5)
