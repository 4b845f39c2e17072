"""How often a job is looked at while it is waited for."""

from __future__ import annotations

from regioncap.jobs.status import pause_s


def test_a_young_job_is_looked_at_more_often_than_an_old_one() -> None:
    assert pause_s(0) == 0.05
    assert pause_s(2) == 0.2
    assert pause_s(3600) == 0.5


def test_a_caller_may_want_more_looks_or_fewer() -> None:
    assert pause_s(3600, latest_s=5.0) == 5.0
    assert pause_s(0, latest_s=0.01) == 0.01
