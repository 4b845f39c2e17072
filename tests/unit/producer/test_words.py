"""Times and speeds as people say them."""

from __future__ import annotations

from datetime import UTC, datetime, timedelta

import pytest

from producer import words


@pytest.mark.parametrize(
    ("seconds", "text"),
    [
        (0, "0 s"),
        (-5, "0 s"),
        (59.4, "59 s"),
        (60, "1 min"),
        (200, "3 min 20 s"),
        (3_725, "1 h 2 min"),
        (90_061, "1 d 1 h"),
    ],
)
def test_span(seconds: float, text: str) -> None:
    assert words.span(seconds) == text


def test_ago() -> None:
    assert words.ago(datetime.now(UTC) - timedelta(minutes=5, seconds=3)) == "5 min ago"


def test_ago__of_what_has_just_been() -> None:
    assert words.ago(datetime.now(UTC)) == "just now"


@pytest.mark.parametrize(
    ("seconds", "text"), [(-1, "0.0 s"), (0.44, "0.4 s"), (9.9, "9.9 s"), (75, "1 min 15 s")]
)
def test_took(seconds: float, text: str) -> None:
    assert words.took(seconds) == text


@pytest.mark.parametrize(
    ("per_s", "text"),
    [(12.34, "12.3 images/s"), (1234.5, "1,234 images/s"), (0.04, "2.4 images/min")],
)
def test_speed(per_s: float, text: str) -> None:
    assert words.speed(per_s, "images") == text
