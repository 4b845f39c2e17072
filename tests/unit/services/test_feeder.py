"""Whose shards come next, and how many a queue holds."""

from __future__ import annotations

import math
from typing import Any

import pytest
import redis
from hypothesis import given
from hypothesis import strategies as st

from regioncap.errors import QueueError
from regioncap.services.due import BAND, note
from regioncap.services.feeder import Feeder, Standing, choose, mark_for, room_for_captions
from tests.simulation.gate import Gate
from tests.simulation.valkey import Client, Server
from tests.support.jobs import a_job


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


class Queue:
    """A queue in memory, and shards that are due for it."""

    def __init__(self, due_shards: int) -> None:
        self.now_s = 1_000.0
        self.redis = Client(Server(lambda: self.now_s))
        self.feeder = Feeder(self.redis, lambda: self.now_s)
        self.note(range(due_shards))

    def note(self, shards: range) -> None:
        note(self.redis, a_job("20260101-000000-aaaaaa", 99), "caption", shards, 5_000)

    def take(self) -> None:
        self.redis.rpop("caption")
        self.feeder.after_taking("caption")

    @property
    def length(self) -> int:
        return int(self.redis.llen("caption"))


def test_a_queue_is_filled_when_less_than_half_is_left() -> None:
    queue = Queue(9)
    queue.feeder.feed("caption")
    lengths = []
    for _ in range(6):
        queue.take()
        lengths.append(queue.length)

    assert lengths == [3, 2, 4, 3, 2, 3]


def test_where_nothing_could_be_fed_it_is_looked_again_after_a_second() -> None:
    queue = Queue(0)
    sick = a_job("20260101-000000-bbbbbb", 99)
    note(queue.redis, sick, "render", range(5), 1)  # all that may be are on their way
    queue.feeder.after_taking("render")
    asked = list[str]()

    class Noted(Gate):
        def enter(self, request: str) -> None:
            asked.append(request)

    queue.redis.gate = Noted()
    for _ in range(5):
        queue.feeder.after_taking("render")
    assert not asked
    queue.now_s += 1.0
    queue.feeder.after_taking("render")
    assert asked


def test_who_takes_a_shard_goes_on_where_redis_is_away_for_the_next() -> None:
    class Away(Gate):
        def enter(self, request: str) -> None:
            raise redis.exceptions.ConnectionError(request)

    queue = Queue(9)
    queue.redis.gate = Away()
    queue.feeder.after_taking("caption")
    with pytest.raises(QueueError):
        queue.feeder.feed("caption")


@pytest.mark.parametrize(("kept", "length"), [("7", 7), ("no number", 4), ("-3", 4), ("", 4)])
def test_a_fleet_works_out_the_mark_of_a_queue_once_in_some_seconds(kept: str, length: int) -> None:
    queue = Queue(20)
    queue.redis.set("regioncap:mark:caption", kept)
    queue.feeder.feed("caption")
    assert queue.length == length

    queue.redis.delete("regioncap:mark:caption")
    Feeder(queue.redis, lambda: queue.now_s).feed("caption")
    queue.redis.delete("caption")
    Feeder(queue.redis, lambda: queue.now_s).feed("caption")
    assert queue.redis.get("regioncap:mark:caption") == "4"
    queue.now_s += 5.0
    assert queue.redis.get("regioncap:mark:caption") is None


def test_what_lies_in_the_caption_queue_and_what_is_due_for_it_awaits_captions() -> None:
    queue = Queue(5)
    queue.redis.lpush("caption", "a", "b", "c")
    assert room_for_captions(queue.redis, "caption", 4) == 16 - 3 - 5
    assert room_for_captions(queue.redis, "caption", 10) == 40 - 3 - 5
