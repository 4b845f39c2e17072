"""Options whose value may be left out."""

from __future__ import annotations

import pytest

from producer.cli import with_values


@pytest.mark.parametrize(
    ("given", "whole"),
    [
        (["submit", "a", "--verify"], ["submit", "a", "--verify", "mark"]),
        (["submit", "--verify", "a"], ["submit", "--verify", "mark", "a"]),
        (["submit", "--verify", "retry", "a"], ["submit", "--verify", "retry", "a"]),
        (["submit", "a", "--verify=retry"], ["submit", "a", "--verify=retry"]),
        (["submit", "--verify", "--wait"], ["submit", "--verify", "mark", "--wait"]),
        (["verify", "JOB"], ["verify", "JOB"]),
        (["eval", "--verify"], ["eval", "--verify"]),
        (["--debug", "submit", "a", "--verify"], ["--debug", "submit", "a", "--verify", "mark"]),
        ([], []),
    ],
)
def test_verify(given: list[str], whole: list[str]) -> None:
    assert with_values(given) == whole
