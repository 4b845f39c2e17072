"""The end of a worker, step by step: what runs beside its shards runs when the test says so."""

from __future__ import annotations

import threading
from collections.abc import Callable
from dataclasses import dataclass, field

import pytest

from workers.drain import EXIT_DEAD, Drain

GRACE_S = 30.0


class Grace(threading.Event):
    """Notes how long is waited, and does not wait."""

    waited_s: float | None = None

    def wait(self, timeout: float | None = None) -> bool:
        self.waited_s = 0.0 if self.is_set() else timeout
        return self.is_set()


@dataclass
class Worker:
    """A worker process that notes what is done to it."""

    held: int = 1
    #: The work stops when it is told to.
    obeys: bool = True
    done: list[str] = field(default_factory=list)
    slept_s: float = 0.0
    beside: list[Callable[[], None]] = field(default_factory=list)

    def in_hand(self) -> int:
        return self.held

    def take_no_more(self, code: int) -> None:
        self.done.append(f"take no more {code}")

    def give_back(self) -> int:
        self.done.append(f"give back {self.held}")
        return self.held

    def end(self, code: int) -> None:
        self.done.append(f"end {code}")

    def stop_work(self) -> None:
        self.done.append("stop work")
        if self.obeys:
            self.held = 0

    def sleep(self, seconds: float) -> None:
        self.slept_s += seconds

    def drain(self, grace: Grace) -> Drain:
        return Drain(
            self,
            GRACE_S,
            on_stop=lambda: self.done.append("stop"),
            on_grace_over=self.stop_work,
            now=grace,
            start=lambda _, function: self.beside.append(function),
            sleep=self.sleep,
        )


@pytest.mark.parametrize(("obeys", "held", "slept_s"), [(True, 0, 0), (False, 1, 3)])
def test_stop__after_its_grace_what_is_in_hand_goes_back(
    obeys: bool, held: int, slept_s: float
) -> None:
    worker, grace = Worker(obeys=obeys), Grace()
    worker.drain(grace).stop()
    assert worker.done == ["stop"]

    worker.beside.pop()()

    assert worker.done == ["stop", "stop work", f"give back {held}", "end 0"]
    assert grace.waited_s == GRACE_S
    assert worker.slept_s == pytest.approx(slept_s)


def test_stop__told_again_ends_the_grace() -> None:
    worker, grace = Worker(), Grace()
    drain = worker.drain(grace)
    drain.stop()
    drain.stop()
    assert worker.done == ["stop"]

    (run,) = worker.beside
    run()

    assert grace.waited_s == 0
    assert worker.done[-1] == "end 0"


def test_die__takes_no_more_and_gives_back_without_grace() -> None:
    worker, grace = Worker(), Grace()
    worker.drain(grace).die()
    worker.beside.pop()()

    code = str(EXIT_DEAD)
    assert worker.done == [f"take no more {code}", "stop work", "give back 0", f"end {code}"]
    assert grace.waited_s is None
