"""Faults: what records themselves hold that makes them fail, however often they run."""

from __future__ import annotations

from collections.abc import Mapping
from typing import Any

#: Errors of the render stage for which a picture or its boxes are to blame. Not among them are a
#: picture that is missing, as it may come, and one that is too large, as workers set the limit.
_CODES = {"bad-box", "no-usable-box", "image-too-thin", "image-unreadable"}


def is_as_given(record: Mapping[str, Any]) -> bool:
    """Whether a result is an error record that with the same settings fails again."""
    error = record["error"]
    return error is not None and error["stage"] == "render" and error["code"] in _CODES
