"""GPU seconds are divided among those that work at the same time, and add up."""

from __future__ import annotations

from contextlib import AbstractContextManager

import pytest
from hypothesis import given
from hypothesis import strategies as st

from regioncap.jobs.gpu_time import BusyClock, Share


class Clock:
    """A clock that is set by hand."""

    def __init__(self) -> None:
        self.now_s = 0.0

    def __call__(self) -> float:
        return self.now_s


def test_alone_a_share_is_the_whole_time() -> None:
    clock = Clock()
    busy = BusyClock(clock)
    clock.now_s = 5
    with busy.working() as share:
        clock.now_s = 8

    assert share.seconds == 3


def test_time_together_is_divided() -> None:
    clock = Clock()
    busy = BusyClock(clock)
    with busy.working() as long:
        clock.now_s = 2
        with busy.working() as short:
            clock.now_s = 6
        clock.now_s = 7

    assert (long.seconds, short.seconds) == (2 + 2 + 1, 2)


def test_work_that_fails_counts() -> None:
    clock = Clock()
    busy = BusyClock(clock)
    shares = []

    def fail() -> None:
        with busy.working() as share:
            shares.append(share)
            clock.now_s = 4
            raise ValueError("x")

    with pytest.raises(ValueError, match="x"):
        fail()

    assert shares[0].seconds == 4


@given(st.lists(st.tuples(st.floats(0.1, 9), st.integers(0, 3)), max_size=20))
def test_shares_add_up_to_the_time_in_which_there_was_work(
    steps: list[tuple[float, int]],
) -> None:
    clock = Clock()
    busy = BusyClock(clock)
    running: list[AbstractContextManager[Share]] = []
    shares = []
    expected_s = 0.0
    for wait_s, wanted in steps:
        clock.now_s += wait_s
        expected_s += wait_s if running else 0
        while len(running) > wanted:
            running.pop(0).__exit__(None, None, None)
        while len(running) < wanted:
            work = busy.working()
            shares.append(work.__enter__())
            running.append(work)
    while running:
        running.pop().__exit__(None, None, None)

    assert sum(share.seconds for share in shares) == pytest.approx(expected_s)
