"""Speed and time left, from what the last while has seen."""

from __future__ import annotations

import pytest

from regioncap.jobs.rate import Rate


def seen(*states: tuple[float, float], window_s: float = 30.0) -> Rate:
    rate = Rate(window_s)
    for at_s, count in states:
        rate.see(at_s, count)
    return rate


@pytest.mark.parametrize(
    ("states", "per_s"),
    [
        ([], 0),
        ([(0, 10)], 0),
        ([(5, 0), (5, 9)], 0),
        ([(0, 0), (10, 50)], 5),
        ([(0, 0), (1, 32), (8, 32)], 4),
        ([(0, 50), (10, 20)], 0),
    ],
)
def test_per_s(states: list[tuple[float, float]], per_s: float) -> None:
    assert seen(*states).per_s == per_s


def test_per_s__forgets_what_is_older_than_the_window() -> None:
    rate = seen((0, 0), (10, 1000), (20, 1010), (30, 1020), window_s=20)
    assert rate.per_s == 1


def test_per_s__covers_the_whole_window() -> None:
    # Steps longer than the window: the last one counts, not nothing.
    assert seen((0, 0), (100, 50), (200, 250), window_s=20).per_s == 2


@pytest.mark.parametrize(
    ("states", "total", "eta_s"),
    [
        ([(0, 0), (10, 50)], 100, 10),
        ([(0, 0), (10, 19)], 100, None),
        ([(0, 0), (1, 50)], 100, None),
        ([(0, 0), (10, 4)], 8, 10),
        ([(0, 0), (10, 100)], 100, 0),
        ([(0, 0)], 100, None),
        ([(0, 0), (10, 0)], 0, None),  # as of pictures that are named by s3:// URIs
    ],
)
def test_eta_s(states: list[tuple[float, float]], total: float, eta_s: float | None) -> None:
    assert seen(*states).eta_s(total) == eta_s
