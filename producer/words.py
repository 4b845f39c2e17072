"""Numbers and times as people read them."""

from __future__ import annotations

from datetime import UTC, datetime

from rich.filesize import decimal

_STEPS = ((86_400, "d"), (3_600, "h"), (60, "min"), (1, "s"))


def size(bytes_: int) -> str:
    """A size: `41.2 MB`."""
    return decimal(bytes_)


def count(number: int, noun: str) -> str:
    """A number of things: `1 record`, `2,000 boxes`."""
    if number == 1:
        return f"{number:,} {noun}"
    return f"{number:,} {noun}es" if noun.endswith("x") else f"{number:,} {noun}s"


def span(seconds: float) -> str:
    """A span of time in its two largest units: `3 min 20 s`."""
    left, parts = max(0, round(seconds)), []
    for unit_s, unit in _STEPS:
        value, left = divmod(left, unit_s)
        if value:
            parts.append(f"{value} {unit}")
    return " ".join(parts[:2]) or "0 s"


def ago(moment: datetime) -> str:
    """How long something is past: `5 min ago`."""
    passed = span((datetime.now(UTC) - moment).total_seconds()).split(" ")
    return " ".join(passed[:2]) + " ago"


def speed(per_s: float, what: str) -> str:
    """A speed: `12.3 images/s`."""
    digits = 1 if per_s < 100 else 0
    return f"{per_s:,.{digits}f} {what}/s"
