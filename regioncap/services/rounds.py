"""Rounds: what a worker does again and again beside its work, for as long as it lives."""

from __future__ import annotations

from collections.abc import Callable

import redis
import structlog

from regioncap.errors import ServiceError
from regioncap.parallel import REAL, Runtime

_log = structlog.get_logger("regioncap")


class Rounds:
    """Makes rounds in a thread of its own.

    Whatever goes wrong in one, the next one comes: other workers count on them, and a thread that
    ends of what nobody thought of is missed by nobody.

    Args:
        name: Of the thread.
        look: Makes one round.
        period_s: The pause before each.
        in_vain: What was not done, for the log.
        again_s: The pause after a round for which a service was away; `period_s` if that is less.
        is_told: Whether a service that is away is worth a warning; others tell of it where not.
        runtime: The thread that it goes by.
    """

    def __init__(
        self,
        name: str,
        look: Callable[[], object],
        period_s: float,
        in_vain: str,
        *,
        again_s: float | None = None,
        is_told: bool = True,
        runtime: Runtime = REAL,
    ) -> None:
        self._name = name
        self._look = look
        self._period_s = period_s
        self._in_vain = in_vain
        self._again_s = period_s if again_s is None else min(again_s, period_s)
        self._tell = _log.warning if is_told else _log.debug
        self._runtime = runtime

    def start(self) -> None:
        """Begins."""
        self._runtime.start(self._name, self.run)

    def run(self) -> None:
        """Makes rounds for ever."""
        pause_s = self._period_s
        while True:
            self._runtime.sleep(pause_s)
            pause_s = self._period_s
            try:
                self._look()
            except ServiceError as error:
                pause_s = self._again_s
                self._tell(self._in_vain, error=str(error))
            except redis.exceptions.RedisError as error:
                pause_s = self._again_s
                self._tell(self._in_vain, error=type(error).__name__)
            except Exception:
                _log.exception(self._in_vain)
