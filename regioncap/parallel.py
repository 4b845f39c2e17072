"""Threads: a stream worked on in some, one that goes on beside the others, and waiting in one."""

from __future__ import annotations

import threading
from collections import deque
from collections.abc import Callable, Generator, Iterable
from concurrent.futures import Future, ThreadPoolExecutor
from typing import TypeVar

#: Starts a function of a name that goes on beside the others.
Start = Callable[[str, Callable[[], None]], None]

T = TypeVar("T")
R = TypeVar("R")


def map_ahead(
    function: Callable[[T], R], items: Iterable[T], *, threads: int = 8, ahead: int = 128
) -> Generator[R]:
    """Like `map`, in threads, with results in order.

    Unlike `Executor.map` it takes no more items than it works on, so that a stream of any length
    needs the memory of `ahead` items. What the function raises is raised here; what was not begun
    by then is dropped, as it is when the reader stops.

    Args:
        function: Called in several threads.
        items: Read from the caller's thread.
        threads: Calls at a time.
        ahead: Most items taken and not yet given back.
    """
    pool = ThreadPoolExecutor(threads, thread_name_prefix="map-ahead")
    pending: deque[Future[R]] = deque()
    try:
        for item in items:
            pending.append(pool.submit(function, item))
            if len(pending) >= ahead:
                yield pending.popleft().result()
        while pending:
            yield pending.popleft().result()
    finally:
        pool.shutdown(wait=True, cancel_futures=True)


def start_thread(name: str, function: Callable[[], None]) -> None:
    """Runs a function in a thread of its own, which does not keep the process alive."""
    threading.Thread(target=function, name=name, daemon=True).start()


def sleep(seconds: float) -> None:
    """As `time.sleep`, which returns at once under libfaketime, by which tests set clocks."""
    threading.Event().wait(seconds)
