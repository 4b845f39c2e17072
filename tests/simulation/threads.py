"""What simulated threads have in place of `threading`, `time` and pools of threads.

`exchanged` puts it into modules under those names, so that their code runs unchanged.
"""

from __future__ import annotations

from collections.abc import Callable, Iterator, Sequence
from concurrent.futures import Future, ThreadPoolExecutor
from contextlib import contextmanager
from functools import partial
from types import ModuleType
from typing import Any

import pytest

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


class StartedThread:
    """As `threading.Thread`: another thread of the process that makes it."""

    def __init__(
        self,
        schedule: Schedule,
        *,
        target: Callable[..., object],
        args: Sequence[Any] = (),
        name: str = "thread",
        daemon: bool = False,
    ) -> None:
        self._schedule = schedule
        self._target = partial(target, *args)
        self._name = name
        self._thread: Thread | None = None

    def start(self) -> None:
        current = self._schedule.current
        assert current is not None, "threads are started by threads of a process"
        self._thread = self._schedule.start(current.process, self._target, self._name)

    def is_alive(self) -> bool:
        return self._thread is not None and not self._thread.ended


class InlineExecutor(ThreadPoolExecutor):
    """A pool that does what it is given at once, in the thread that gives it."""

    def submit(self, fn: Callable[..., Any], /, *args: Any, **kwargs: Any) -> Future[Any]:
        future: Future[Any] = Future()
        try:
            future.set_result(fn(*args, **kwargs))
        except Exception as error:
            future.set_exception(error)
        return future


class Threading:
    """What simulated code finds under the name `threading`."""

    def __init__(self, schedule: Schedule) -> None:
        self.Event = partial(Event, schedule)
        self.Lock = partial(Lock, schedule)
        self.Condition = partial(Condition, schedule)
        self.Thread = partial(StartedThread, schedule)


class Time:
    """What simulated code finds under the name `time`."""

    def __init__(self, schedule: Schedule) -> None:
        self._schedule = schedule

    def monotonic(self) -> float:
        return self._schedule.now_s

    def time(self) -> float:
        return EPOCH_S + self._schedule.now_s

    def sleep(self, seconds: float) -> None:
        self._schedule.wait(seconds)


@contextmanager
def exchanged(schedule: Schedule, modules: Sequence[ModuleType]) -> Iterator[None]:
    """Has modules run on a schedule for as long as the block runs."""
    names = {
        "threading": Threading(schedule),
        "time": Time(schedule),
        "ThreadPoolExecutor": InlineExecutor,
    }
    with pytest.MonkeyPatch.context() as patch:
        for module in modules:
            for name in names.keys() & vars(module).keys():
                patch.setattr(module, name, names[name])
        yield
