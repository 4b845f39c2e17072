"""Markers: objects `open/...` that say of which jobs not all is done yet.

A job that runs for the first time has one, `open/<job>`, empty. Whoever changes a finished job puts
one of its own first, with words in it, and makes it empty when the change is made; whatever becomes
of the change, and whoever sleeps meanwhile, the job is then looked at again. Only empty markers are
removed: by whoever listed them before it saw that nothing is left to do.

Whoever ends or pauses a job puts another one before, `ends/<job>.<token>`: `regioncap.jobs.ends`
finds by it whom it has to tell.
"""

from __future__ import annotations

from collections.abc import Iterator
from contextlib import contextmanager, suppress
from datetime import timedelta

import structlog

from regioncap import keys
from regioncap.errors import StoreDeniedError, StoreError
from regioncap.parallel import REAL, Runtime
from regioncap.services.store import Store

#: A change that was begun longer ago was broken off.
BROKEN_OFF = timedelta(days=7)
#: Where changes have to wait for each other, one whose process died is waited for so long.
_LONGEST = timedelta(hours=1)
_UNDER_WAY = b"a change is being made"

_log = structlog.get_logger("regioncap")


@contextmanager
def changing(store: Store, job_id: str, *, alone: Runtime | None = None) -> Iterator[None]:
    """Says that a finished job is changed for as long as the block runs.

    A process that dies in it leaves the marker as it is.

    Args:
        store: Where the job lies.
        job_id: The job.
        alone: The clock of a change that a store which replaces whatever stands (without If-Match)
            could not keep apart from another; there it is refused while another is under way.

    Raises:
        StoreError: Another change is under way, and the store could not keep them apart.
    """
    key = keys.open_key(job_id, keys.new_token())
    store.put(key, _UNDER_WAY)
    try:
        if alone is not None and not store.conditions(key, _UNDER_WAY).matching:
            # Each of two looks after it has put its marker: one of them sees the other's at least.
            _check_alone(store, job_id, key, alone)
        yield
    except Exception:
        with suppress(StoreError):
            store.put(key, b"")
        raise
    store.put(key, b"")


def _check_alone(store: Store, job_id: str, own: str, runtime: Runtime) -> None:
    begun = runtime.now() - _LONGEST
    for marker in store.list_stored(keys.open_key(job_id)):
        if marker.size_bytes and marker.key != own and marker.modified > begun:
            raise StoreError(
                f"job {job_id} is being changed by others",
                hint="try again when that is done: the store cannot keep two changes apart, see"
                " docs/stores.md",
            )


def remove(store: Store, found: list[str]) -> None:
    """Removes markers, one by one: a role that may do that need not be allowed more."""
    for key in found:
        store.delete(key)


def note_end(store: Store, job_id: str, token: str = "") -> None:
    """Notes that a job is about to end or to pause, so that this is told.

    A role that may not write there yet, as one of an earlier version's policies, ends the job all
    the same.

    Args:
        store: Where the job lies.
        job_id: The job.
        token: Names this one end, where many may note it; noted again, it is one marker.

    Raises:
        StoreError: The store is away; then the job is not to end yet.
    """
    try:
        store.put(keys.end_key(job_id, token or keys.new_token()), b"")
    except StoreDeniedError as error:
        _log.warning("the end of a job will not be told", job=job_id, error=str(error))


def settled(store: Store, job_id: str, runtime: Runtime = REAL) -> list[str]:
    """Markers of a job whose change is made, or was broken off."""
    begun = runtime.now() - BROKEN_OFF
    return [
        marker.key
        for marker in store.list_stored(keys.open_key(job_id))
        if not marker.size_bytes or marker.modified < begun
    ]
