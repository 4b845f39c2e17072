"""What users are told to do next, by the state of a job."""

from __future__ import annotations

from collections import Counter
from typing import Any, get_args

import pytest

from regioncap.errors import UsageError
from regioncap.job import Job
from regioncap.jobs import advice
from regioncap.jobs.status import JobStatus, State, Waiting
from tests.support.jobs import job_at


def job(**fields: Any) -> Job:
    return job_at(1, records=9, **{"source": "my pictures.jsonl"} | fields)


def status(of: Job, state: State, **fields: Any) -> JobStatus:
    return JobStatus(
        job=of.job, state=state, created=of.created, records=of.records, shards=of.shards, **fields
    )


def told(of: Job, state: State, **fields: Any) -> str:
    return "\n".join(advice.advice(status(of, state, **fields), of))


@pytest.mark.parametrize("state", get_args(State))
def test_every_state_has_advice(state: State) -> None:
    assert f"{job().job}" in told(job(), state) or "submit" in told(job(), state)


def test_a_cancelled_job_says_how_the_rest_is_captioned() -> None:
    said = told(job(), "cancelled", done=4)
    assert "cancelled with 4 of 9 records done" in said
    assert "regioncap submit 'my pictures.jsonl' --reuse" in said
    assert "--key" not in said
    # Under its own it would be found again, cancelled as it is.
    for done in (0, 4):
        said = told(job(key="nightly"), "cancelled", done=done)
        assert "with the options of the first time but for another --key, " in said


def test_a_job_cancelled_before_anything_was_done_leaves_nothing_to_take_over() -> None:
    said = told(job(), "cancelled", done=0)
    assert "regioncap submit 'my pictures.jsonl', with the options" in said
    assert "--reuse" not in said
    assert "brings" not in said
    hint = advice.not_finished(status(job(), "cancelled", done=0), job()).hint
    assert hint in said
    assert "begins anew" in hint


def test_a_job_that_waits_says_why() -> None:
    wait = Waiting(stage="caption", code="engine-away", reason="no GPU", waited_s=4, again_in_s=7)
    said = told(job(), "running", waits=[wait])
    assert said.startswith("caption waits: no GPU; it is tried again by itself in 7 s")


def test_lines_to_mend_and_records_to_run_again_are_told_apart() -> None:
    of = job(rejected=1)
    said = told(of, "done", done=9, failed=3)
    assert "1 line of my pictures.jsonl cannot be used: mend it and submit" in said
    assert "regioncap submit fixed.jsonl --reuse" in said
    assert f"2 records failed in a worker: regioncap retry {of.job} runs them again" in said
    assert f"regioncap results {of.job} --failed" in said


def test_records_that_fail_for_what_they_hold_are_lines_to_mend() -> None:
    said = told(job(rejected=1), "done", done=9, failed=4, failed_as_given=3)
    assert "4 lines of my pictures.jsonl cannot be used: mend them and submit" in said
    assert "retry" not in said


def test_a_job_without_failures_is_told_of_none() -> None:
    assert "fail" not in told(job(), "done", done=9)


def test_a_retry_that_cannot_help() -> None:
    unread, same = advice.of_retry(2, Counter({"no-usable-box": 1}), job())
    assert "2 failed records cannot be run again, as their lines of" in unread
    assert "1 record failed for what it holds (1 no-usable-box), would with the same" in same
    assert "is left out (--all runs it, too)" in same
    assert "--box-format" in same
    assert advice.of_retry(0, {}, job()) == []


@pytest.mark.parametrize(
    ("state", "code"), [("running", "not-finished"), ("cancelled", "cancelled")]
)
def test_the_error_of_what_needs_a_finished_job(state: State, code: str) -> None:
    of = job(source="stdin")
    error = advice.not_finished(status(of, state, done=4), of)
    assert isinstance(error, UsageError)
    assert error.code == code
    assert "4 of 9 records" in error.message
    assert ("submit FILE --reuse" if state == "cancelled" else "watch") in error.hint
