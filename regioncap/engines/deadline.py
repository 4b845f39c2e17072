"""Deadlines: the longest time that a request may take, from how long others took."""

from __future__ import annotations

import asyncio
import time
from collections import deque
from collections.abc import Callable, Coroutine
from statistics import median

from regioncap.engines.base import Answer, CaptionRequest
from regioncap.errors import EngineDeadError, RequestError

#: A request may take so many times what one of its length takes, by what the last ones took.
_TIMES = 10.0
_LAST = 64
#: Further attempts at a request that did not come back.
_AGAIN = 1


class Deadline:
    """Cuts off requests that do not come back; for one event loop.

    Args:
        least_s: No request is cut off sooner.
        unknown_s: The limit while nothing was answered yet: the first ones may compile.
        clock: Seconds, never going back.
    """

    def __init__(
        self,
        least_s: float = 30.0,
        unknown_s: float = 600.0,
        clock: Callable[[], float] = time.monotonic,
    ) -> None:
        self._least_s = least_s
        self._unknown_s = unknown_s
        self._clock = clock
        self._took: deque[tuple[float, int]] = deque(maxlen=_LAST)
        self._answered_s = clock()

    def limit_s(self, max_tokens: int) -> float:
        """How long a request for so many tokens may take."""
        if not self._took:
            return max(self._least_s, self._unknown_s)
        seconds, tokens = (median(each) for each in zip(*self._took, strict=True))
        return max(self._least_s, float(_TIMES * seconds / max(1, tokens) * max_tokens))

    def longest_s(self, max_tokens: int) -> float:
        """How long it takes at most until a request is answered or given up."""
        return (1 + _AGAIN) * self.limit_s(max_tokens)

    async def answer(
        self,
        request: CaptionRequest,
        ask: Callable[[CaptionRequest], Coroutine[None, None, Answer | RequestError]],
    ) -> Answer | RequestError:
        """Asks, once more if no answer comes, and then says that none does.

        Raises:
            EngineDeadError: Nobody else has been answered meanwhile either.
        """
        for _ in range(1 + _AGAIN):
            began_s, limit_s = self._clock(), self.limit_s(request.sampling.max_tokens)
            try:
                answer = await asyncio.wait_for(ask(request), limit_s)
            except TimeoutError:
                if self._answered_s < began_s:
                    raise EngineDeadError(
                        f"the engine has answered no request for {limit_s:.0f} s"
                    ) from None
                continue
            self._answered_s = self._clock()
            if isinstance(answer, Answer):
                self._took.append((self._answered_s - began_s, max(1, answer.completion_tokens)))
            return answer
        return RequestError(
            f"the engine did not answer request {request.request_id} within {limit_s:.0f} s, "
            f"{1 + _AGAIN} times",
            code="engine-timeout",
        )
