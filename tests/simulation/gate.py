"""Where a request meets the world: before and after each one anything may happen to who asks."""

from __future__ import annotations

from collections.abc import Callable
from typing import TypeVar

T = TypeVar("T")


class Gate:
    """What a request to a simulated service passes; this one lets all through, at once.

    A simulation's own lets other threads go first, and has faults: it raises in `enter` what the
    client would raise had its request never arrived, and in `leave` had the answer been lost.
    """

    def now_s(self) -> float:
        """The time, seconds since the epoch."""
        return 0.0

    def enter(self, request: str) -> None:
        """Before the request has its effect.

        Args:
            request: The service, what is asked, and of what, as in `s3 put results`.
        """

    def leave(self, request: str) -> None:
        """After it."""

    def sleep(self, seconds: float) -> None:
        """How the client waits before it tries again."""


def ask(
    gate: Gate,
    request: str,
    effect: Callable[[], T],
    is_passing: Callable[[Exception], bool],
    pauses_s: tuple[float, ...],
) -> T:
    """Asks a service, again after each pause for as long as the failure may pass.

    Args:
        gate: What the request passes.
        request: Its name.
        effect: What the service does.
        is_passing: Whether the client tries again after an error.
        pauses_s: Before the second attempt, the third, and so on.
    """
    for pause_s in (*pauses_s, None):
        try:
            gate.enter(request)
            answer = effect()
            gate.leave(request)
        except Exception as error:
            if pause_s is None or not is_passing(error):
                raise
            gate.sleep(pause_s)
        else:
            return answer
    raise AssertionError("unreachable")
