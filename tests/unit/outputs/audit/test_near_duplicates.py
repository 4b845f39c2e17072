"""Near duplicates over a job."""

from __future__ import annotations

import pytest
from hypothesis import given
from hypothesis import strategies as st

from regioncap.outputs.audit.near_duplicates import NearDuplicates

LONG = (
    "A woman in a long green coat walks a small brown dog along the river while two cyclists pass"
    " behind her and a boat with white sails lies at the wooden pier in the evening light"
)


def test_counts_what_recurs() -> None:
    found = NearDuplicates()
    assert found.add("r1", LONG) is None
    assert found.add("r2", "Three red apples lie in a bowl on the kitchen table.") is None
    assert found.add("r3", LONG.upper() + "!") == "r1"
    assert found.add("r4", LONG + " today") == "r1"
    assert (found.captions, found.duplicates) == (4, 2)
    assert [(group.key, group.count) for group in found.largest()] == [("r1", 3)]


@pytest.mark.parametrize(
    ("first", "second", "near"),
    [
        ("A cat.", "a cat", True),
        ("A cat.", "A dog.", False),
        ("一只黑猫坐在垫子上。", "一只黑猫坐在垫子上", True),
        ("一只黑猫坐在垫子上。", "两条狗在河边奔跑。", False),
        (LONG, LONG.replace("woman", "man"), True),
        (LONG, " ".join(reversed(LONG.split())), False),
    ],
)
def test_nearness(first: str, second: str, near: bool) -> None:
    found = NearDuplicates()
    found.add("first", first)
    assert found.add("second", second) == ("first" if near else None)


def test_similarity_is_a_setting() -> None:
    strict = NearDuplicates(similarity=1.0)
    strict.add("first", LONG)
    assert strict.add("second", LONG.replace("woman", "man")) is None
    assert strict.add("third", LONG) == "first"


def test_without_words_is_not_counted() -> None:
    found = NearDuplicates()
    assert found.add("a", "...") is None
    assert found.add("b", "...") is None
    assert found.captions == 0


def test_memory_is_bounded_and_keeps_what_was_met_last() -> None:
    found = NearDuplicates(capacity=3)
    for name in ("one", "two", "three"):
        found.add(name, f"Caption number {name} is about something of its own, {name}")
    assert found.add("again", "Caption number one is about something of its own, one") == "one"
    found.add("four", "Caption number four is about something of its own, four")
    assert found.add("late", "Caption number two is about something of its own, two") is None
    assert found.add("later", "Caption number one is about something of its own, one") == "one"


@given(st.lists(st.text(max_size=30), max_size=30), st.integers(1, 5))
def test_any_captions(captions: list[str], capacity: int) -> None:
    found = NearDuplicates(capacity=capacity)
    keys = [found.add(str(i), caption) for i, caption in enumerate(captions)]
    assert found.duplicates == sum(key is not None for key in keys) <= found.captions
    assert all(key is None or int(key) < i for i, key in enumerate(keys))
