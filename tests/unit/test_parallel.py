"""`map_ahead` is `map`, a few at a time."""

from __future__ import annotations

import threading
from collections.abc import Iterator
from contextlib import closing

import pytest
from hypothesis import given
from hypothesis import strategies as st

from regioncap.parallel import map_ahead


@given(st.lists(st.integers()), st.integers(1, 4), st.integers(1, 9))
def test_map_ahead__is_map(items: list[int], threads: int, ahead: int) -> None:
    found = list(map_ahead(lambda n: n * 2, items, threads=threads, ahead=ahead))
    assert found == [n * 2 for n in items]


def test_map_ahead__takes_no_more_than_it_works_on() -> None:
    taken: list[int] = []

    def items() -> Iterator[int]:
        for number in range(1000):
            taken.append(number)
            yield number

    with closing(map_ahead(str, items(), ahead=10)) as stream:
        assert next(stream) == "0"
        assert len(taken) == 10


def test_map_ahead__works_side_by_side() -> None:
    together = threading.Barrier(3, timeout=30)
    assert len(list(map_ahead(lambda _: together.wait(), range(3), threads=3))) == 3


def test_map_ahead__raises_what_the_function_raises() -> None:
    stream = map_ahead(lambda n: 1 // n, [1, 0, 1])
    assert next(stream) == 1
    with pytest.raises(ZeroDivisionError):
        next(stream)
