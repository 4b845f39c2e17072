"""The processes that an engine starts end with this one, however that ends.

vLLM's core waits for messages of the process that started it and does not notice its death: after a
kill -9 it kept a GPU's memory for minutes, until a time limit of its own.
"""

from __future__ import annotations

import multiprocessing
import threading
from collections.abc import Iterator
from contextlib import contextmanager

from regioncap.tether import Tether

#: How often to look for new ones. Python's own start takes longer, so that a process that is
#: missed has not been told yet what to run, and ends.
_LOOK_S = 0.05


class Offspring:
    """What `multiprocessing` starts for an engine."""

    def __init__(self) -> None:
        self._tether = Tether()
        self._tied: set[int] = set()

    @contextmanager
    def tied(self) -> Iterator[None]:
        """Ties what is started while the block runs, from its first moments on."""
        others = _alive()
        over = threading.Event()

        def tie_new() -> None:
            for pid in _alive() - others - self._tied:
                self._tether.add(pid)
                self._tied.add(pid)

        def look() -> None:
            while not over.wait(_LOOK_S):
                tie_new()

        # The block may hold this thread for minutes, as vLLM does that loads a model.
        looking = threading.Thread(target=look, name="tie", daemon=True)
        looking.start()
        try:
            yield
        finally:
            over.set()
            looking.join()
            tie_new()

    def close(self) -> None:
        """Ends what still runs; numbers of those that have ended may be others' by now."""
        for pid in self._tied - _alive():
            self._tether.remove(pid)
        self._tether.close()


def _alive() -> set[int]:
    return {child.pid for child in multiprocessing.active_children() if child.pid is not None}
