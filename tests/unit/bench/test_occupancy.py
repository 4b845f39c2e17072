"""How full the engine's batch is, while it neither fills nor empties."""

from __future__ import annotations

from bench.occupancy import Sample, steady, summary, told

#: A batch of 100: it fills, empties once for lack of work, and runs out after the last take.
RUN = [
    Sample(0, 0.0, 8), Sample(30, 0.3, 6), Sample(80, 0.8, 4), Sample(79, 0.79, 4),
    Sample(20, 0.2, 3), Sample(78, 0.78, 1), Sample(80, 0.8, 0), Sample(10, 0.1, 0),
]  # fmt: skip


def test_filling_and_emptying_do_not_count() -> None:
    assert steady(RUN) == RUN[2:6]


def test_the_share_is_of_what_the_engine_takes() -> None:
    found = summary(RUN)

    assert found["running"] == [0, 30, 80, 79, 20, 78, 80, 10]
    assert found["takes"] == 100
    assert found["median"] == 0.785
    assert 0.2 < found["p5"] < 0.3
    assert told(found) == "batch of 100: 0.79 full, 5th percentile 0.29, 4 samples"


def test_a_run_without_a_steady_part_has_no_share() -> None:
    for samples in ([], [Sample(0, 0.0, 3)], [Sample(5, 0.5, 0), Sample(0, 0.0, 0)]):
        found = summary(samples)
        assert (found["median"], found["p5"]) == (None, None)
        assert "never full" in told(found)
