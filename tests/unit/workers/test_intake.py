"""How many shards a caption worker takes."""

from __future__ import annotations

from regioncap.jobs.load import Load
from workers.intake import Intake


def intake(load: Load, taken: list[int], batch: int = 64) -> Intake:
    return Intake(batch, load, taken=lambda: taken[-1], wake=lambda: taken.append(-1))


def test_takes_shards_until_the_batch_and_a_waiting_line_are_full() -> None:
    load, taken = Load(), [0]
    worker = intake(load, taken)

    held = []
    while worker.has_room():
        taken[-1] += 1
        held.append(load.shard())
        held[-1].__enter__().know(10)

    assert len(held) * 10 >= 64 + 32 > (len(held) - 1) * 10


def test_a_shard_that_was_not_read_yet_counts_as_the_last_one() -> None:
    load, taken = Load(), [1]
    with load.shard() as shard:
        shard.know(50)
        assert intake(load, taken).has_room()
        taken[-1] = 2
        assert not intake(load, taken).has_room()


def test_wakes_the_one_that_was_refused_when_there_is_room_again() -> None:
    load, taken = Load(), [1]
    worker = intake(load, taken)
    load.on_less = worker.look_again
    with load.shard() as shard:
        shard.know(97)
        assert not worker.has_room()
        shard.answered(1)
        assert taken == [1]
        shard.answered(1)
        assert taken == [1, -1]
        shard.answered(1)
        assert taken == [1, -1]


def test_most_shards__small_ones_still_fill_the_batch() -> None:
    assert intake(Load(), [0], batch=64).most_shards == 64 + 32
    assert intake(Load(), [0], batch=100_000).most_shards == 256
