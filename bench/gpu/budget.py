"""How much time is left, and what still fits into it."""

from __future__ import annotations

import time


class NotRunError(Exception):
    """A row that there is no time for, or that came to nothing; the message says why."""


class Budget:
    """A number of seconds from now on.

    Args:
        seconds: How many.
    """

    def __init__(self, seconds: float) -> None:
        self._deadline = time.monotonic() + seconds

    def left_s(self) -> float:
        """Seconds left; negative when it is overdrawn."""
        return self._deadline - time.monotonic()

    def need(self, seconds: float) -> None:
        """Returns if there is so much left.

        Raises:
            NotRunError: There is not.
        """
        if seconds > self.left_s():
            left = max(0.0, self.left_s())
            raise NotRunError(f"needs about {seconds:.0f} s, and {left:.0f} s are left")

    def limit_s(self, seconds: float) -> float:
        """The limit of a step: its own, or what is left."""
        return max(1.0, min(seconds, self.left_s()))
