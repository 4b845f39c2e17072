"""`_SUCCESS` whole, as who reads it without this program sees it: the summary, then the parts."""

from __future__ import annotations

import json
from collections.abc import Sequence
from typing import Any

from regioncap.job import Summary


def dump_success(
    summary: Summary, parts: Sequence[dict[str, Any]] = (), indent: int | None = 2
) -> bytes:
    """The whole object; without `indent` in one line and without spaces."""
    fields = summary.model_dump(mode="json") | {"parts": list(parts)}
    separators = (",", ":") if indent is None else None
    return json.dumps(fields, indent=indent, separators=separators).encode()


def load_success(text: bytes) -> tuple[Summary, list[dict[str, Any]]]:
    """The summary and the parts of a whole object."""
    return Summary.model_validate_json(text), json.loads(text)["parts"]
