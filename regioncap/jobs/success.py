"""Writing `_SUCCESS`, which names every part of a job, without ever holding it whole."""

from __future__ import annotations

import gzip
import io
import json
from collections import Counter
from typing import Any, BinaryIO, cast

from regioncap import keys
from regioncap.job import Summary
from regioncap.services.store import Store

#: Keys and counts press well, hashes in hexadecimal by half; more effort gains little.
_EFFORT = 1


class SuccessWriter:
    """Gathers the parts of a job, then writes its `_SUCCESS`.

    What is gathered is kept compressed, a quarter of the text: parts are named only after the
    counts, which are known only after the last part, and a worker need not have a disk.
    """

    def __init__(self) -> None:
        #: Of all parts so far, added up.
        self.counts: Counter[str] = Counter()
        self._packed = io.BytesIO()
        self._parts = gzip.GzipFile(fileobj=self._packed, mode="wb", compresslevel=_EFFORT)
        self._size_bytes = 0

    def add(self, key: str, summary: dict[str, Any]) -> None:
        """Takes the next part, as `results.summarize` sums it up."""
        self.counts.update(summary["counts"])
        part = json.dumps({"key": key, "sha256": summary["sha256"], **summary["counts"]})
        between = ",\n" if self._size_bytes else "\n"
        self._size_bytes += self._parts.write(f"{between}    {part}".encode())

    def write(self, store: Store, summary: Summary) -> None:
        """Writes the object, once, after the last part: the summary, then a line for each part."""
        self._parts.close()
        fields = summary.model_dump_json(indent=2).removesuffix("\n}")
        head, tail = f'{fields},\n  "parts": ['.encode(), b"\n  ]\n}\n"
        packed = gzip.compress(head) + self._packed.getvalue() + gzip.compress(tail)
        size_bytes = len(head) + self._size_bytes + len(tail)
        with gzip.open(io.BytesIO(packed)) as text:
            key = keys.success_key(summary.job)
            store.put_stream(key, cast(BinaryIO, text), size_bytes, "application/json")
