"""A turnstile: many shards at a time, or one alone.

The one that is to run alone waits for the others to leave, or it would never come to run; it is the
only shard that waits in a worker's hands.
"""

from __future__ import annotations

from collections.abc import Callable, Iterator
from contextlib import contextmanager

from regioncap.parallel import REAL, Runtime

#: How long a shard that may run beside others waits for one that runs alone to leave.
_PATIENCE_S = 0.5


class OccupiedError(Exception):
    """A shard runs alone, or waits to do so; others had better be done elsewhere."""


class Turnstile:
    """Lets shards run side by side, and a suspect one alone; the latter goes first.

    What dies with the process can then be told to be the suspect's doing.

    Args:
        check: Raises if waiting has become pointless; called while waiting.
        runtime: The clock and the threads.
    """

    def __init__(self, check: Callable[[], None], runtime: Runtime = REAL) -> None:
        self._check = check
        self._clock = runtime.monotonic
        self._changed = runtime.condition()
        self._inside = 0
        self._alone = False
        self._alone_waiting = 0

    @contextmanager
    def shared(self) -> Iterator[None]:
        """Runs the block beside others.

        Raises:
            OccupiedError: One runs alone.
        """
        with self._changed:
            until_s = self._clock() + _PATIENCE_S
            while self._alone or self._alone_waiting:
                self._check()
                if self._clock() >= until_s:
                    raise OccupiedError
                self._changed.wait(_PATIENCE_S)
            self._inside += 1
        try:
            yield
        finally:
            with self._changed:
                self._inside -= 1
                self._changed.notify_all()

    @contextmanager
    def alone(self) -> Iterator[None]:
        """Runs the block while no other runs.

        Raises:
            OccupiedError: Another one runs alone, or waits to.
        """
        with self._changed:
            if self._alone or self._alone_waiting:
                raise OccupiedError
            self._alone_waiting += 1
            try:
                while self._inside:
                    self._check()
                    self._changed.wait(0.5)
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
