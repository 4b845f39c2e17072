"""Things that are told apart, up to a limit."""

from __future__ import annotations

from regioncap.inputs.distinct import Distinct


def test_what_comes_again_is_not_new() -> None:
    distinct = Distinct()
    assert [distinct.is_new(each) for each in "abab"] == [True, True, False, False]


def test_beyond_the_limit_each_counts_as_new() -> None:
    distinct = Distinct(most=1)
    assert [distinct.is_new(each) for each in "abab"] == [True, True, False, True]
