"""What is kept of jobs between two looks at the page."""

from __future__ import annotations

import pytest

from producer.site.catalogue import Kept


@pytest.fixture
def clock(monkeypatch: pytest.MonkeyPatch) -> list[float]:
    """The seconds that the module sees; a test moves them."""
    now = [0.0]
    monkeypatch.setattr("producer.site.catalogue.time.monotonic", lambda: now[0])
    return now


class Counted:
    """Numbers its calls, and notes with what it was called."""

    def __init__(self) -> None:
        self.keys: list[str] = []

    def __call__(self, key: str) -> int:
        self.keys.append(key)
        return len(self.keys)


def test_a_value_is_taken_until_it_is_old(clock: list[float]) -> None:
    kept = Kept(Counted(), for_s=5.0, most=10)

    assert (kept("a"), kept("a"), kept("b")) == (1, 1, 2)
    clock[0] = 4.9
    assert kept("a") == 1
    clock[0] = 5.0
    assert kept("a") == 3


def test_a_value_says_itself_how_long_it_is_taken(clock: list[float]) -> None:
    kept = Kept(Counted(), for_s=lambda n: 10.0 * n, most=10)

    assert kept("a") == 1
    clock[0] = 10.0
    assert kept("a") == 2
    clock[0] = 29.0
    assert kept("a") == 2


def test_what_was_not_asked_for_longest_goes_first(clock: list[float]) -> None:
    made = Counted()
    kept = Kept(made, for_s=100.0, most=2)

    for key in ("a", "b", "a", "c", "a", "b"):
        kept(key)

    assert made.keys == ["a", "b", "c", "b"]


def test_an_error_is_not_kept() -> None:
    errors = [OSError()]

    def make(_: str) -> str:
        if errors:
            raise errors.pop()
        return "fine"

    kept = Kept(make, for_s=100.0, most=2)
    with pytest.raises(OSError):  # noqa: PT011 - any
        kept("a")
    assert kept("a") == "fine"
