"""How fast something goes, from counts seen now and then; pure."""

from __future__ import annotations

from collections import deque

#: Below this many things seen to pass, what is left is guesswork.
_ENOUGH = 20
_ENOUGH_S = 3.0


class Rate:
    """Speed over the last while, and the time that the rest will take.

    Counts arrive in bursts (a shard at a time), so the speed is that of a window, not of the last
    step.

    Args:
        window_s: How far back the speed looks.
    """

    def __init__(self, window_s: float = 30.0) -> None:
        self._window_s = window_s
        self._seen: deque[tuple[float, float]] = deque()

    def see(self, at_s: float, count: float) -> None:
        """Notes a count; times must not fall."""
        self._seen.append((at_s, count))
        # One older than the window stays: the speed is measured from there.
        while len(self._seen) > 2 and self._seen[1][0] <= at_s - self._window_s:
            self._seen.popleft()

    @property
    def per_s(self) -> float:
        """Things per second; 0 while nothing has moved."""
        if len(self._seen) < 2:
            return 0.0
        (start_s, first), (end_s, last) = self._seen[0], self._seen[-1]
        return max(0.0, (last - first) / (end_s - start_s)) if end_s > start_s else 0.0

    def eta_s(self, total: float) -> float | None:
        """Seconds until the count reaches a total; None while too little is known."""
        if len(self._seen) < 2:
            return None
        (start_s, first), (end_s, last) = self._seen[0], self._seen[-1]
        if last - first < min(_ENOUGH, total / 2) or end_s - start_s < _ENOUGH_S:
            return None
        # Of a total of 0 it is enough that nothing moved, and then there is no speed.
        return max(0.0, total - last) / self.per_s if self.per_s else None
