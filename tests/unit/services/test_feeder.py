"""Whose shards come next, and how many a queue holds."""

from __future__ import annotations

import math
from typing import Any

import pytest
from hypothesis import given
from hypothesis import strategies as st

from regioncap.services.due import BAND
from regioncap.services.feeder import Standing, choose, mark_for


def job(name: str, due: int, score: float = BAND, **more: Any) -> Standing:
    return Standing(name, score, due, **more)


def test_turns() -> None:
    found = [job("a", 3), job("b", 1, BAND + 5), job("c", 9, 0.0)]

    assert choose(found, 6, {}) == ["c"] * 6
    assert choose(found[:2], 9, {}) == ["a", "b", "a", "a"]


def test_budget() -> None:
    found = [job("a", 9, queue="q", under_way=4), job("b", 9, BAND + 1, queue="r", under_way=3)]

    assert choose(found, 4, {"q": 1, "r": 0}) == ["a", "b"]
    assert choose(found, 3, {"q": 9}) == ["a", "b", "a"]


@given(
    st.lists(
        st.builds(
            Standing,
            job=st.sampled_from("abcd"),
            score=st.sampled_from([0.0, BAND, BAND + 3, 2 * BAND]),
            due=st.integers(0, 9),
            under_way=st.integers(0, 9),
            window=st.integers(1, 9),
            queue=st.sampled_from(["q", "r"]),
        ),
        max_size=4,
        unique_by=lambda each: each.job,
    ),
    st.integers(0, 20),
    st.dictionaries(st.sampled_from(["q", "r"]), st.integers(-2, 5)),
)
def test_bounds_hold(found: list[Standing], room: int, budgets: dict[str, int]) -> None:
    chosen = choose(found, room, budgets)

    assert len(chosen) <= room
    for each in found:
        taken = chosen.count(each.job)
        assert taken <= each.due
        assert not taken or each.under_way + taken <= each.window
    # Nobody of a lower priority goes before one that could.
    bands = [next(each.score for each in found if each.job == name) // BAND for name in chosen]
    assert bands == sorted(bands)


@pytest.mark.parametrize(
    ("worker", "mark"),
    [
        ({}, 4),
        ({"room": 9, "in_hand": []}, 9),
        ({"room": 9, "in_hand": [1] * 9, "per_s": {"shards": 4.2}}, 9),
        ({"room": 9, "in_hand": [1] * 9, "per_s": {"shards": 40.0}}, 80),
        ({"room": math.inf, "in_hand": 3, "per_s": 7}, 4),
        ({"room": "9", "in_hand": None, "per_s": {"shards": -1}}, 4),
        ({"room": 10**9, "in_hand": [], "per_s": {"shards": 1e300}}, 10_000),
    ],
)
def test_mark(worker: dict[str, Any], mark: int) -> None:
    assert mark_for([worker]) == mark
