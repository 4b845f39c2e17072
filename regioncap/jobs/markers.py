"""Markers: objects `open/...` that say of which jobs not all is done yet.

A job that runs for the first time has one, `open/<job>`, empty. Whoever changes a finished job puts
one of its own first, with words in it, and makes it empty when the change is made; whatever becomes
of the change, and whoever sleeps meanwhile, the job is then looked at again. Only empty markers are
removed: by whoever listed them before it saw that nothing is left to do.
"""

from __future__ import annotations

from collections.abc import Iterator
from contextlib import contextmanager, suppress
from datetime import timedelta

from regioncap import keys
from regioncap.errors import StoreError
from regioncap.parallel import REAL, Runtime
from regioncap.services.store import Store

#: A change that was begun longer ago was broken off.
BROKEN_OFF = timedelta(days=7)


@contextmanager
def changing(store: Store, job_id: str) -> Iterator[None]:
    """Says that a finished job is changed for as long as the block runs.

    A process that dies in it leaves the marker as it is.
    """
    key = keys.open_key(job_id, keys.new_token())
    store.put(key, b"a change is being made")
    try:
        yield
    except Exception:
        with suppress(StoreError):
            store.put(key, b"")
        raise
    store.put(key, b"")


def settled(store: Store, job_id: str, runtime: Runtime = REAL) -> list[str]:
    """Markers of a job whose change is made, or was broken off."""
    begun = runtime.now() - BROKEN_OFF
    return [
        marker.key
        for marker in store.list_stored(keys.open_key(job_id))
        if not marker.size_bytes or marker.modified < begun
    ]
