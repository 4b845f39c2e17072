"""Picks: the records that a person looks at first, counted alike on the terminal and on pages.

failed       the whole record has an error in place of captions
uncaptioned  it has none, and lacks the caption of a region
flagged      the audit finds something wrong with a caption of it
"""

from __future__ import annotations

from collections.abc import Iterable, Mapping
from typing import Any, Final, Literal

Pick = Literal["failed", "uncaptioned", "flagged"]

#: Statuses of regions that nobody has to look at.
FINE = frozenset({"ok", "skipped"})
#: The flag of a caption that nearly repeats another one: counted apart, as it may well be right.
NEAR_DUPLICATE: Final = "near-duplicate"


def failed(record: Mapping[str, Any]) -> bool:
    """Whether a result is an error record."""
    return record["error"] is not None


def uncaptioned(record: Mapping[str, Any]) -> bool:
    """Whether a result that did not fail lacks the caption of a region."""
    return not failed(record) and any(each["status"] not in FINE for each in record["regions"])


def flagged(flags: Iterable[str]) -> bool:
    """Whether a record with captions of these flags counts as flagged."""
    return any(flag != NEAR_DUPLICATE for flag in flags)


def of(record: Mapping[str, Any]) -> list[Pick]:
    """All that a result counts as, with its flags in `regions[].flags`."""
    flags = (flag for region in record["regions"] for flag in region.get("flags", ()))
    is_picked: dict[Pick, bool] = {
        "failed": failed(record),
        "uncaptioned": uncaptioned(record),
        "flagged": flagged(flags),
    }
    return [pick for pick, is_it in is_picked.items() if is_it]
