"""What the shards in hand are still to ask."""

from __future__ import annotations

from contextlib import suppress

from regioncap.jobs.load import Load


def test_counts_what_is_not_answered() -> None:
    load = Load()
    with load.shard() as first, load.shard() as second:
        first.know(10)
        second.know(4)
        first.answered(3)
        assert load.requests(2) == 11
    assert load.requests(0) == 0


def test_a_shard_that_ends_otherwise_leaves_nothing() -> None:
    load = Load()
    with suppress(KeyError), load.shard() as shard:
        shard.know(10)
        raise KeyError
    assert load.requests(0) == 0


def test_answers_beyond_those_known_count_for_nothing() -> None:
    load = Load()
    with load.shard() as shard:
        shard.know(1)
        shard.answered(5)
        assert load.requests(1) == 0


def test_shards_not_begun_count_as_large_as_the_last() -> None:
    load = Load()
    with load.shard() as shard:
        shard.know(7)
    assert load.requests(3) == 21
