"""Doing things to a stream in threads: in order, and only a little ahead of the reader."""

from __future__ import annotations

from collections import deque
from collections.abc import Callable, Generator, Iterable
from concurrent.futures import Future, ThreadPoolExecutor
from typing import TypeVar

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
