"""Counts the requests that this process makes of the object store."""

from __future__ import annotations

from collections import Counter
from collections.abc import Iterator
from contextlib import contextmanager
from typing import Any

from minio import Minio


@contextmanager
def counted_requests() -> Iterator[Counter[str]]:
    """Requests by method, while the block runs; retries of the HTTP client count once."""
    made: Counter[str] = Counter()
    original = Minio._url_open

    def counted(self: Minio, method: str, *args: Any, **kwargs: Any) -> Any:
        made[method] += 1
        return original(self, method, *args, **kwargs)

    Minio._url_open = counted  # type: ignore[method-assign]
    try:
        yield made
    finally:
        Minio._url_open = original  # type: ignore[method-assign]
