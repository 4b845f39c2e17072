"""The clock and the threads of a schedule, in the form in which the product takes its own."""

from __future__ import annotations

from collections.abc import Callable
from concurrent.futures import Future, ThreadPoolExecutor
from datetime import UTC, datetime
from typing import Any

from regioncap.parallel import Runtime
from tests.simulation.schedule import Schedule, Thread

#: The schedule's clock starts here, in seconds since the epoch.
EPOCH_S = 1_800_000_000.0


class _Waiting:
    """Threads that wait for one thing."""

    def __init__(self, schedule: Schedule) -> None:
        self._schedule = schedule
        self._threads: list[Thread] = []

    def wait(self, timeout_s: float | None) -> bool:
        thread = self._schedule.current
        if thread is not None:
            self._threads.append(thread)
        try:
            return self._schedule.wait(timeout_s)
        finally:
            if thread is not None and thread in self._threads:
                self._threads.remove(thread)

    def wake(self, most: int | None = None) -> None:
        for thread in self._threads[:most]:
            self._threads.remove(thread)
            self._schedule.wake(thread)


class Event:
    """As `threading.Event`."""

    def __init__(self, schedule: Schedule) -> None:
        self._waiting = _Waiting(schedule)
        self._set = False

    def is_set(self) -> bool:
        return self._set

    def set(self) -> None:
        self._set = True
        self._waiting.wake()

    def clear(self) -> None:
        self._set = False

    def wait(self, timeout: float | None = None) -> bool:
        if not self._set:
            self._waiting.wait(timeout)
        return self._set


class Lock:
    """As `threading.Lock`; may be held while a service is asked."""

    def __init__(self, schedule: Schedule) -> None:
        self._waiting = _Waiting(schedule)
        self._held = False

    def acquire(self) -> bool:
        while self._held:
            self._waiting.wait(None)
        self._held = True
        return True

    def release(self) -> None:
        self._held = False
        self._waiting.wake(1)

    def __enter__(self) -> bool:
        return self.acquire()

    def __exit__(self, *_: object) -> None:
        self.release()


class Condition(Lock):
    """As `threading.Condition`."""

    def __init__(self, schedule: Schedule) -> None:
        super().__init__(schedule)
        self._changed = _Waiting(schedule)

    def wait(self, timeout: float | None = None) -> bool:
        self.release()
        try:
            return self._changed.wait(timeout)
        finally:
            self.acquire()

    def wait_for(self, predicate: Callable[[], bool], timeout: float | None = None) -> bool:
        assert timeout is None, "nothing of ours waits for a condition and a time"
        while not predicate():
            self.wait()
        return True

    def notify_all(self) -> None:
        self._changed.wake()


class InlineExecutor(ThreadPoolExecutor):
    """A pool that does what it is given at once, in the thread that gives it."""

    def submit(self, fn: Callable[..., Any], /, *args: Any, **kwargs: Any) -> Future[Any]:
        future: Future[Any] = Future()
        try:
            future.set_result(fn(*args, **kwargs))
        except Exception as error:
            future.set_exception(error)
        return future


class SimulatedRuntime(Runtime):
    """The clock and the threads of a schedule, for code of the product's."""

    def __init__(self, schedule: Schedule) -> None:
        self._schedule = schedule

    def now(self) -> datetime:
        moment = datetime.fromtimestamp(EPOCH_S + self._schedule.now_s, UTC)
        return moment.replace(microsecond=moment.microsecond // 1000 * 1000)

    def monotonic(self) -> float:
        return self._schedule.now_s

    def sleep(self, seconds: float) -> None:
        self._schedule.wait(seconds)

    def start(self, name: str, function: Callable[[], None]) -> None:
        current = self._schedule.current
        assert current is not None, "threads are started by threads of a process"
        self._schedule.start(current.process, function, name)

    def event(self) -> Any:
        return Event(self._schedule)

    def lock(self) -> Any:
        return Lock(self._schedule)

    def condition(self) -> Any:
        return Condition(self._schedule)

    def pool(self, threads: int, name: str) -> InlineExecutor:
        return InlineExecutor(1)
