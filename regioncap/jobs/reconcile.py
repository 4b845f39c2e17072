"""Reconciling: the queue and the progress of a job, made anew from the object store alone.

Needed where a message or the progress is lost: kombu loses a message when a worker dies between
taking it and noting that (celery#7950), Redis loses a second of work in a crash and everything in
a FLUSHALL, and a submission may find no Redis at all. What is missing becomes due again, and
follows when it is the job's turn. A message sent twice costs no time of an engine: see
`regioncap.services.claims`.
"""

from __future__ import annotations

import logging
from collections.abc import Mapping
from typing import NamedTuple

from regioncap import keys
from regioncap.errors import QueueError, StoreDeniedError
from regioncap.job import Job
from regioncap.jobs import budgets, catalogue, finish, markers, results, retry
from regioncap.parallel import REAL, Runtime
from regioncap.services.backlog import Backlog, read_backlog
from regioncap.services.progress import Progress
from regioncap.services.sender import Sender
from regioncap.services.store import Store

_log = logging.getLogger(__name__)


class Reconciled(NamedTuple):
    """What was found and done."""

    #: `finished`, `cancelled`, `paused`, or `open`.
    state: str
    #: Shards that were nowhere, and are due now.
    render: list[int]
    caption: list[int]


def reconcile(
    store: Store,
    progress: Progress,
    sender: Sender,
    job: Job,
    backlog: Backlog | None = None,
    *,
    runtime: Runtime = REAL,
) -> Reconciled:
    """Brings one job's queue and progress in line with the store.

    What this user may not do, as who may only submit, is left to the workers: their janitors look
    at each open job.

    Args:
        store: Where the job lies.
        progress: The job's progress.
        sender: Asks for what is missing.
        job: The job.
        backlog: What is in the queue, and due of this job; read if not given.
        runtime: The clock.

    Raises:
        ServiceError: The store or Redis is away; doing it again does no harm.
    """
    if store.exists(keys.cancelled_key(job.job)):
        if not catalogue.has_all_parts(store, job):
            markers.remove(store, markers.settled(store, job.job, runtime))
            return Reconciled("cancelled", [], [])
        store.delete(keys.cancelled_key(job.job))  # it came too late
    again = retry.pending(store, job.job)
    try:
        if not again and finish.finish(store, progress, job, runtime=runtime) is not None:
            return Reconciled("finished", [], [])
        if again and store.exists(keys.success_key(job.job)):
            with markers.changing(store, job.job):
                retry.reopen(store, progress, job, again)
    except StoreDeniedError as error:
        if not catalogue.has_all_parts(store, job):
            raise
        # All that is missing is what workers do: the job's end, or that it is opened again.
        _log.warning("job %s is left to its workers: %s", job.job, error.message)
        return Reconciled("open", [], [])
    backlog = backlog or read_backlog(progress.redis, {job.settings.queue}, [job.job])
    stored = catalogue.part_tags(store, job)
    rendered = catalogue.parts(store, job.job, "rendered")
    try:
        _rebuild_parts(store, progress, job, stored, again)
        _rebuild_rendered(progress, rendered)
    except QueueError as error:
        # Who may only submit leaves that to the workers, too.
        if error.code != "queue-refused":
            raise
    if budgets.is_paused(store, job):
        return Reconciled("paused", [], [])
    todo = (set(range(job.shards)) - stored.keys()) | again
    queued = backlog.shards(job.job, "render")
    waiting = backlog.shards(job.job, "caption")
    # A retried shard starts over: rendering it tells which of its records lack pictures.
    to_render = sorted((todo - rendered - queued) | ((todo & again) - queued - waiting))
    to_caption = sorted((todo & rendered) - again - queued - waiting)
    sender.render(job, to_render)
    sender.caption(job, to_caption)
    return Reconciled("open", to_render, to_caption)


def _rebuild_parts(
    store: Store, progress: Progress, job: Job, stored: Mapping[int, str], again: set[int]
) -> None:
    """Makes the progress tell of the results that the store holds."""
    known = progress.done()
    for shard in known - (stored.keys() - again):
        progress.forget_part(shard)
    for shard in stored.keys() - known - again:
        found = store.find_tagged(keys.part_key(job.job, "results", shard))
        if found is not None:
            found, part = results.standing(found, store, job, shard)
            progress.note_part(shard, part.summary | {"etag": found.etag})


def _rebuild_rendered(progress: Progress, rendered: set[int]) -> None:
    """Makes the progress tell of the shards that are rendered."""
    if progress.rendered() < len(rendered):
        for shard in rendered:
            progress.note_rendered(shard)
