"""Who goes on: many threads of many processes, one at a time, in an order that a seed chooses.

A simulated thread is a greenlet. It runs until it asks something of a service, waits, or ends; then
the schedule draws who goes on. So all that happens between two such moments is one step, and a seed
gives the same steps each time. The clock moves a little with each step, and jumps where all wait.
"""

from __future__ import annotations

import asyncio
import math
import random
from collections.abc import Callable
from dataclasses import dataclass, field

import greenlet

#: Longest time that one step takes, seconds: a request on a network nearby.
_STEP_S = 0.02
#: The least likely process to go on is this much less likely than the most likely one.
_UNEVEN = 30.0


class Killed(BaseException):
    """The process has ended. It unwinds a thread; nothing that the thread does then has effects."""


class StuckError(Exception):
    """All threads wait for each other, or the work does not come to an end."""


@dataclass(eq=False)
class Process:
    """What dies as a whole."""

    name: str
    #: How likely its threads are to go on.
    weight: float
    alive: bool = True
    paused_until_s: float = 0.0
    threads: list[Thread] = field(default_factory=list)


@dataclass(eq=False)
class Thread:
    """One line of steps."""

    process: Process
    name: str
    #: When it goes on by itself; infinite for one that somebody has to wake.
    wake_s: float = 0.0
    woken: bool = False
    _let: greenlet.greenlet | None = None

    @property
    def ended(self) -> bool:
        """Whether it has come to its end."""
        return self._let is not None and self._let.dead


class Schedule:
    """The threads, and the clock that they go by.

    Args:
        seed: Chooses the order.
    """

    def __init__(self, seed: int) -> None:
        self.random = random.Random(seed)
        self.now_s = 0.0
        self.steps = 0
        #: The thread that runs; None while the simulation itself looks at things.
        self.current: Thread | None = None
        self._main = greenlet.getcurrent()
        self._threads: list[Thread] = []
        #: Whether a thread may have ended since the last burial.
        self._anyone_ended = False
        self._failure: BaseException | None = None

    def process(self, name: str) -> Process:
        """A new process, without a thread yet."""
        return Process(name, math.exp(-self.random.random() * math.log(_UNEVEN)))

    def start(self, process: Process, target: Callable[[], object], name: str = "main") -> Thread:
        """Starts a thread; it takes its first step later."""
        thread = Thread(process, name, wake_s=self.now_s)

        def run() -> None:
            try:
                target()
            except Killed:
                pass
            except BaseException as error:
                self._failure = self._failure or error

        thread._let = greenlet.greenlet(run, self._main)
        process.threads.append(thread)
        self._threads.append(thread)
        return thread

    def step(self) -> None:
        """Lets others go on; called before and after whatever others can notice."""
        if self.current is not None:
            self.current.wake_s = self.now_s
            self._switch(self.current)

    def wait(self, timeout_s: float | None = None) -> bool:
        """Waits until `wake`, or for a time; returns whether it was woken."""
        thread = self.current
        if thread is None:  # the simulation itself waits for nobody
            self.now_s += timeout_s or 0.0
            return False
        thread.wake_s = math.inf if timeout_s is None else self.now_s + timeout_s
        thread.woken = False
        self._switch(thread)
        woken, thread.woken = thread.woken, False
        return woken

    def wake(self, thread: Thread) -> None:
        """Lets a thread that waits go on."""
        thread.woken = True

    def kill(self, process: Process) -> None:
        """Ends a process where it is. If it is the caller's own, this does not return."""
        process.alive = False
        self._anyone_ended = True
        if self.current is not None and self.current.process is process:
            raise Killed(process.name)

    def pause(self, process: Process, seconds: float) -> None:
        """Stops a process for a time, as SIGSTOP or a machine that swaps does."""
        process.paused_until_s = max(process.paused_until_s, self.now_s + seconds)
        if self.current is not None and self.current.process is process:
            self.step()

    def run(self, until: Callable[[], bool], limit_s: float) -> None:
        """Runs the threads until a condition holds between two steps.

        Args:
            until: The condition.
            limit_s: Time by the schedule's clock after which it must have come true.

        Raises:
            StuckError: It has not.
            Exception: What a thread raised.
        """
        limit_s += self.now_s
        while True:
            if self._anyone_ended:
                self._bury()
            if until():
                return
            thread = self._choose()
            if thread is None or self.now_s > limit_s:
                raise StuckError(self._where())
            self._resume(thread)
            if self._failure is not None:
                raise self._failure

    @property
    def busy(self) -> bool:
        """Whether a thread has not come to its end."""
        return any(not thread.ended for thread in self._threads)

    def close(self) -> None:
        """Ends all threads."""
        for thread in self._threads:
            thread.process.alive = False
        self._bury()

    def _bury(self) -> None:
        """Unwinds the threads of processes that were killed, and forgets those that have ended."""
        self._anyone_ended = False
        for thread in self._threads:
            if not thread.process.alive and not thread.ended:
                self._end(thread)
        self._threads = [t for t in self._threads if t.process.alive and not t.ended]

    def _end(self, thread: Thread) -> None:
        let = thread._let
        if let:  # else it has not begun
            self._within(thread, lambda: let.throw(Killed(thread.process.name)))

    def _choose(self) -> Thread | None:
        self.steps += 1
        self.now_s += self.random.random() * _STEP_S
        ready, soonest_s = self._ready()
        if not ready:
            if soonest_s == math.inf:
                return None
            self.now_s = soonest_s
            ready, _ = self._ready()
        draw = self.random.random() * sum(thread.process.weight for thread in ready)
        for thread in ready:
            draw -= thread.process.weight
            if draw < 0:
                return thread
        return ready[-1]

    def _ready(self) -> tuple[list[Thread], float]:
        """The threads that can go on, and when the first of the others can."""
        ready, soonest_s, now_s = [], math.inf, self.now_s
        for thread in self._threads:  # in each step: no calls
            ready_s = 0.0 if thread.woken else thread.wake_s
            paused_until_s = thread.process.paused_until_s
            if paused_until_s > ready_s:  # noqa: PLR1730  # as above
                ready_s = paused_until_s
            if ready_s <= now_s:
                ready.append(thread)
            elif ready_s < soonest_s:
                soonest_s = ready_s
        return ready, soonest_s

    def _resume(self, thread: Thread) -> None:
        let = thread._let
        assert let is not None
        self._within(thread, let.switch)
        if let.dead:
            self._anyone_ended = True

    def _within(self, thread: Thread, go: Callable[[], object]) -> None:
        self.current = thread
        try:
            go()
        finally:
            self.current = None

    def _switch(self, thread: Thread) -> None:
        if not thread.process.alive:
            raise Killed(thread.process.name)
        # All threads are one thread to asyncio, which allows one running loop in each.
        loop = asyncio._get_running_loop()
        asyncio._set_running_loop(None)
        try:
            self._main.switch()
        finally:
            asyncio._set_running_loop(loop)
        if not thread.process.alive:
            raise Killed(thread.process.name)

    def _where(self) -> str:
        waiting = ", ".join(
            f"{thread.process.name}/{thread.name} until "
            f"{max(thread.wake_s, thread.process.paused_until_s):.3f}"
            for thread in self._threads
        )
        return f"no end at {self.now_s:.3f} s after {self.steps} steps: {waiting or 'no threads'}"
