"""Distinct things among many, of which some come again; told apart by their hashes, to save memory.

Of more than a limit those beyond it are not remembered: each of their repeats counts as new.
"""

from __future__ import annotations

from collections.abc import Hashable

#: Remembered at most, some 70 bytes each.
_MOST = 500_000


class Distinct:
    """Tells things apart that it was shown.

    Args:
        most: How many it remembers.
    """

    def __init__(self, most: int = _MOST) -> None:
        self._most = most
        self._seen: set[int] = set()

    def is_new(self, thing: Hashable) -> bool:
        """Whether it was not shown before; it has been from now on."""
        mark = hash(thing)
        if mark in self._seen:
            return False
        if len(self._seen) < self._most:
            self._seen.add(mark)
        return True
