"""Answers that are kept of shards that came to no end: what is looked for, and what is written."""

from __future__ import annotations

from collections import Counter

import pytest

from regioncap import keys
from regioncap.captions.conversation import Captioned
from regioncap.errors import RequestError
from regioncap.jobs.partial import Partial, Partials
from regioncap.jobs.retry import Again
from regioncap.parallel import Runtime
from regioncap.records import EngineAnswer, Problem, RenderedRecord
from regioncap.settings import Settings
from tests.simulation import s3
from tests.simulation.gate import Gate
from tests.simulation.world import records

JOB = "20260101-000000-aaaaaa"
NAMES = {index: f"fingerprint of {index}" for index in range(4)}


class Place(Gate, Runtime):
    """A store in memory that counts what is asked of it, and its clock."""

    def __init__(self) -> None:
        self.moment_s = 0.0
        self.asked: Counter[str] = Counter()
        #: How requests that are refused begin.
        self.refused = "nothing"
        server = s3.with_bucket()
        self.store = s3.store_of(server, Settings(), self)
        self.partials = Partials(self.store, self)

    def monotonic(self) -> float:
        return self.moment_s

    def enter(self, request: str) -> None:
        self.asked[request] += 1
        if request.startswith(self.refused):
            raise s3.error(403)

    def begun(self, shard: int = 0, *, is_first: bool = True) -> Partial:
        """A go at a shard, which looks for answers before it asks."""
        partial = self.partials.of(JOB, shard, is_first=is_first)
        partial.find(RECORDS, NAMES, None)
        return partial

    def kept(self, shard: int = 0, *captioned: Captioned) -> None:
        """What a go at a shard leaves that came to no end."""
        partial = self.begun(shard)
        for each in captioned or (answered(0),):
            partial.add(each)
        partial.keep()

    def found(
        self, shard: int = 0, *, is_first: bool = False, names: dict[int, str] = NAMES
    ) -> dict[int, Captioned]:
        return self.partials.of(JOB, shard, is_first=is_first).find(RECORDS, names, None)

    @property
    def left(self) -> list[str]:
        return list(self.store.list_keys(keys.prefix(JOB, "partial")))


RECORDS = [
    RenderedRecord.of(each.model_copy(update={"picture": None})).model_copy(
        update={"source_sha256": str(each.index)}
    )
    for each in records(0, 4)
]


def answered(index: int, text: str = "", **changed: object) -> Captioned:
    record = RECORDS[index].model_copy(update={"image_caption": f"picture {index}", **changed})
    answers = [EngineAnswer(text=text or f"words about {index}", regions=[1])]
    return Captioned(
        record, answers, "stop", prompt_tokens=5, completion_tokens=6, requests=1, gpu_ms=7
    )


@pytest.fixture
def place() -> Place:
    return Place()


def test_what_is_kept_is_found_as_it_was_said(place: Place) -> None:
    place.kept(0, answered(0), answered(2))

    assert place.found() == {0: answered(0), 2: answered(2)}
    assert not place.found(1)


def test_shards_that_nobody_began_cost_no_request_each(place: Place) -> None:
    for shard in range(50):
        place.begun(shard)
    assert place.asked == {"s3 list partial": 1}


def test_who_was_begun_is_looked_for_whatever_is_listed_already(place: Place) -> None:
    place.begun(1)
    place.kept()

    assert not place.found(is_first=True)
    assert place.found(is_first=False)


def test_what_redis_has_forgotten_is_found_after_a_while(place: Place) -> None:
    place.begun(1)
    place.kept()
    place.moment_s += 10.0

    assert place.found(is_first=True) == {0: answered(0)}
    place.moment_s += 9.0
    assert not place.partials.of("20260101-000000-bbbbbb", 0, is_first=True).find(
        RECORDS, NAMES, None
    )
    assert place.found(is_first=True)
    assert place.asked["s3 list partial"] == 3


def test_what_cannot_be_read_or_depends_on_something_else_is_left(place: Place) -> None:
    place.kept()
    (key,) = place.left
    place.store.put(key, b"{}\n" + place.store.get(key) + b"\xff\n")

    assert place.found() == {0: answered(0)}
    assert not place.found(names={1: "another"})
    assert not place.found(names=NAMES | {0: "another"})


def test_what_was_taken_over_is_kept_on(place: Place) -> None:
    place.kept()
    again = place.begun(is_first=False)
    written = place.asked["s3 put partial"]
    again.keep()  # nothing is new
    assert place.asked["s3 put partial"] == written
    again.add(answered(1))
    again.keep()
    place.store.delete(sorted(place.left, key=lambda key: len(place.store.get(key)))[0])

    assert place.found().keys() == {0, 1}


def test_the_end_of_a_shard_removes_it_all(place: Place) -> None:
    place.kept()
    other = place.begun(1)
    other.add(answered(1))
    other.keep()
    again = place.begun(is_first=False)
    again.add(answered(1))
    again.keep()
    assert len(place.left) == 3
    again.drop()
    again.add(answered(2))
    again.keep()

    (left,) = place.left
    assert keys.part_name(1, "") in left


def test_a_shard_that_is_found_done_leaves_nothing(place: Place) -> None:
    place.kept()
    place.kept(1)
    place.partials.of(JOB, 0).drop()

    (left,) = place.left
    assert keys.part_name(1, "") in left


def test_the_end_of_a_shard_lists_nothing_anew(place: Place) -> None:
    again = place.begun(is_first=False)
    again.drop()
    assert place.asked == {"s3 list partial": 1}


def test_a_shard_that_is_found_done_ends_though_the_store_refuses(place: Place) -> None:
    place.refused = "s3 list"
    place.partials.of(JOB, 0).drop()


def test_what_is_no_answer_is_asked_again(place: Place) -> None:
    failed = answered(1)
    failed.failure = RequestError("too long")
    broken = answered(2, error=Problem(code="poison", message="", stage="caption"))
    place.kept(0, answered(0), failed, broken, answered(3, text="!!!!"))

    assert place.found().keys() == {0}


def test_the_same_words_of_all_are_not_kept(place: Place) -> None:
    place.kept(0, *(answered(index, text="a dog") for index in range(4)))
    assert not place.left


def test_a_store_that_refuses_costs_the_answers_and_no_more(place: Place) -> None:
    partial = place.begun()
    partial.add(answered(0))
    place.refused = "s3 put"
    partial.keep()
    place.refused = "nothing"
    partial.keep()
    assert place.found().keys() == {0}
    place.refused = "s3 delete"
    partial.drop()


def test_two_retries_are_two_questions(place: Place) -> None:
    first, second = (Again(indices={0}, keys=[f"retry {nth}"]) for nth in range(2))
    partial = place.partials.of(JOB, 0)
    partial.find(RECORDS, NAMES, first)
    partial.add(answered(0))
    partial.keep()

    for again, count in ((None, 0), (second, 0), (first, 1)):
        assert len(place.partials.of(JOB, 0).find(RECORDS, NAMES, again)) == count


def test_the_end_of_a_new_shard_removes_no_other_one_s(place: Place) -> None:
    place.kept(1)
    place.moment_s += 10.0
    place.begun(0).drop()

    assert place.found(1)
