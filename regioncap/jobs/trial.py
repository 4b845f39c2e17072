"""A trial: whether an engine or what it was given is to blame, found by our own pictures."""

from __future__ import annotations

from collections.abc import Sequence

import structlog

from regioncap.captions import degenerate
from regioncap.captions.conversation import Captioned
from regioncap.engines import base
from regioncap.engines.thread import EngineThread
from regioncap.errors import (
    EngineAwayError,
    EngineDeadError,
    EngineUnwellError,
    RegionCapError,
    ServiceError,
)
from regioncap.job import Grid
from regioncap.jobs import own_pictures
from regioncap.jobs.turn import Turn
from regioncap.views.view import Limits

#: Longest time that the engine may take to say that it serves, and to caption our own pictures,
#: unless it takes longer over any request.
_CHECK_S, _TRIAL_S = 10.0, 120.0
#: A shard all of whose records got the same words is tried so often elsewhere.
_SAME_WORDS_TRIES = 2

_log = structlog.get_logger("regioncap")


class Trial:
    """Tries an engine; for many threads.

    Args:
        engine: A started engine.
        limits: What the worker's settings allow.
    """

    def __init__(self, engine: EngineThread, limits: Limits) -> None:
        self._engine = engine
        self._limits = limits
        #: Whether the engine did not caption our own pictures when it was asked last.
        self._is_unwell = False
        #: What the engine says of pictures that differ, and may.
        self._usual_words: set[str] = set()

    def check(self) -> None:
        """Returns if the engine serves; where it was unwell, it is tried on our own pictures.

        Raises:
            EngineDeadError, EngineAwayError, EngineUnwellError: It does not.
        """
        try:
            self._engine.check(_CHECK_S)
        except TimeoutError:
            raise EngineAwayError(f"the engine has not answered for {_CHECK_S:.0f} s") from None
        if self._is_unwell:
            self.try_out("it was unwell")

    def try_out(self, why: str, *, differently: bool = False) -> None:
        """Returns if the engine captions our own pictures, so that the records are to blame.

        Args:
            why: What lets one doubt it.
            differently: Whether it is to say different things about them.

        Raises:
            EngineUnwellError: It does not, and a new process is the cure.
            EngineDeadError: It is gone.
            EngineAwayError: It is elsewhere, and does not (`engine-unwell`) or cannot be asked.
        """
        engine = self._engine.engine
        _log.warning("trying the engine on our own pictures", reason=why)
        trial = self._engine.run(
            own_pictures.caption(
                engine, self._limits.on(engine.grid or Grid()), differently=differently
            )
        )
        try:
            trial.result(max(_TRIAL_S, base.longest_s(engine, own_pictures.MAX_TOKENS)))
        except (ServiceError, EngineDeadError):
            raise
        except Exception as error:
            trial.cancel()
            self._is_unwell = True
            message = f"the engine is unwell: {why}, and {_in_words(error)}"
            if base.is_remote(engine):
                raise EngineAwayError(message, code=EngineUnwellError.code) from error
            raise EngineUnwellError(message) from error
        self._is_unwell = False

    def examine(self, done: Sequence[Captioned], turn: Turn) -> None:
        """Returns if the answers may be as they are; else raises as `try_out`."""
        if silence := degenerate.silence(done):
            self.try_out(silence)
        words = degenerate.same_words(done)
        if not words or words in self._usual_words:
            return
        if turn.waited(EngineUnwellError.code) < _SAME_WORDS_TRIES:
            self.try_out(f"it says {words[:30]!r} of several pictures", differently=True)
        else:  # other processes have found the same
            self._usual_words.add(words)


def _in_words(error: Exception) -> str:
    if isinstance(error, TimeoutError):
        return "it has not captioned our own picture in all the time that it may take"
    return error.message if isinstance(error, RegionCapError) else repr(error)
