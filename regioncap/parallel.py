"""Threads and the clock that code uses, and an ordered parallel map over a stream."""

from __future__ import annotations

import threading
import time
from collections import deque
from collections.abc import Callable, Generator, Iterable
from concurrent.futures import Executor, Future, ThreadPoolExecutor
from datetime import UTC, datetime
from typing import TypeVar

#: Starts a function of a name that goes on beside the others.
Start = Callable[[str, Callable[[], None]], None]

T = TypeVar("T")
R = TypeVar("R")


#: Most bytes that items in hand may hold together, where they hold any.
_MOST_BYTES = 64_000_000


class Runtime:
    """The clock and the threads that code goes by: those of the machine, or of a simulation."""

    def now(self) -> datetime:
        """The time, in UTC, to the millisecond."""
        moment = datetime.now(UTC)
        return moment.replace(microsecond=moment.microsecond // 1000 * 1000)

    def monotonic(self) -> float:
        """Seconds, never going back."""
        return time.monotonic()

    def sleep(self, seconds: float) -> None:
        """As `time.sleep`, which returns at once under libfaketime, by which tests set clocks."""
        threading.Event().wait(seconds)

    def start(self, name: str, function: Callable[[], None]) -> None:
        """Runs a function in a thread of its own, which does not keep the process alive."""
        threading.Thread(target=function, name=name, daemon=True).start()

    def event(self) -> threading.Event:
        """What threads wait for, or for a time."""
        return threading.Event()

    def lock(self) -> threading.Lock:
        """One thread at a time; may be held while a service is asked."""
        return threading.Lock()

    def condition(self) -> threading.Condition:
        """What threads wait for to become true."""
        return threading.Condition()

    def pool(self, threads: int, name: str) -> Executor:
        """Threads that are handed work."""
        return ThreadPoolExecutor(threads, thread_name_prefix=name)


#: The machine's own.
REAL = Runtime()


def map_ahead(
    function: Callable[[T], R],
    items: Iterable[T],
    *,
    threads: int = 8,
    ahead: int = 128,
    size_bytes: Callable[[T], int] = lambda _: 0,
    runtime: Runtime = REAL,
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
        size_bytes: How much an item holds; fewer are taken ahead where they hold much.
        runtime: Gives the threads.
    """
    pool = runtime.pool(threads, "map-ahead")
    pending: deque[tuple[int, Future[R]]] = deque()
    held_bytes = 0
    try:
        for item in items:
            held_bytes += size_bytes(item)
            pending.append((size_bytes(item), pool.submit(function, item)))
            del item
            while len(pending) >= ahead or (pending and held_bytes > _MOST_BYTES):
                size, future = pending.popleft()
                held_bytes -= size
                yield future.result()
        while pending:
            yield pending.popleft()[1].result()
    finally:
        pool.shutdown(wait=True, cancel_futures=True)


def start_thread(name: str, function: Callable[[], None]) -> None:
    """As `Runtime.start`."""
    REAL.start(name, function)


def sleep(seconds: float) -> None:
    """As `Runtime.sleep`."""
    REAL.sleep(seconds)
