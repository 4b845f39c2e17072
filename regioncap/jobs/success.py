"""Writing `_SUCCESS`, which names every part of a job."""

from __future__ import annotations

import io
import json
from collections import Counter
from typing import Any

from regioncap.job import QUALITY_COUNTS, Summary


class SuccessWriter:
    """Gathers the parts of a job into the text of its `_SUCCESS`, some 300 bytes a part."""

    def __init__(self) -> None:
        #: Of all parts so far, added up.
        self.counts: Counter[str] = Counter()
        self._parts = io.StringIO()

    def add(self, key: str, summary: dict[str, Any]) -> None:
        """Takes the next part, as `results.summarize` sums it up.

        Its line says nothing of what captions are like: the sums tell that.
        """
        self.counts.update(summary["counts"])
        counts = {n: count for n, count in summary["counts"].items() if n not in QUALITY_COUNTS}
        part = json.dumps({"key": key, "sha256": summary["sha256"], **counts})
        between = ",\n" if self._parts.tell() else "\n"
        self._parts.write(f"{between}    {part}")

    def names_what(self, success: bytes) -> bool:
        """Whether a `_SUCCESS` names the same parts, with the same counts."""
        return success.endswith(self._tail())

    def text(self, summary: Summary) -> bytes:
        """The whole object: the summary, then a line for each part."""
        fields = summary.model_dump_json(indent=2).removesuffix("\n}")
        return f"{fields},".encode() + self._tail()

    def _tail(self) -> bytes:
        return f'\n  "parts": [{self._parts.getvalue()}\n  ]\n}}\n'.encode()
