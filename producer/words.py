"""Numbers and times as people read them."""

from __future__ import annotations

from collections.abc import Iterable
from datetime import UTC, datetime
from typing import TYPE_CHECKING

from rich.filesize import decimal

if TYPE_CHECKING:
    from regioncap.jobs.status import Waiting

_STEPS = ((86_400, "d"), (3_600, "h"), (60, "min"), (1, "s"))


def size(bytes_: int) -> str:
    """A size: `41.2 MB`."""
    return decimal(bytes_)


def span(seconds: float) -> str:
    """A span of time in its two largest units: `3 min 20 s`."""
    left, parts = max(0, round(seconds)), []
    for unit_s, unit in _STEPS:
        value, left = divmod(left, unit_s)
        if value:
            parts.append(f"{value} {unit}")
    return " ".join(parts[:2]) or "0 s"


def took(seconds: float) -> str:
    """How long something took; short times to a tenth: `0.4 s`."""
    return f"{max(0.0, seconds):.1f} s" if seconds < 10 else span(seconds)


def ago(moment: datetime) -> str:
    """How long something is past: `5 min ago`."""
    passed_s = (datetime.now(UTC) - moment).total_seconds()
    return " ".join(span(passed_s).split(" ")[:2]) + " ago" if passed_s >= 1 else "just now"


def waits(found: Iterable[Waiting]) -> list[str]:
    """Why a job waits: `render waits: the S3 store refused ..., for 40 s`."""
    return [_wait(each) for each in found]


def _wait(wait: Waiting) -> str:
    if wait.again_in_s is None:
        return f"paused {span(wait.waited_s)} ago: {wait.reason}"
    return f"{wait.stage} waits: {wait.reason}, for {span(wait.waited_s)}"


def speed(per_s: float, what: str) -> str:
    """A speed: `12.3 images/s`."""
    if per_s < 0.1:
        return f"{per_s * 60:.1f} {what}/min"
    digits = 1 if per_s < 100 else 0
    return f"{per_s:,.{digits}f} {what}/s"
