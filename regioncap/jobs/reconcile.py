"""Reconciling: the queue and the progress of a job, made anew from the object store alone.

Needed where a message or the progress is lost: kombu loses a message when a worker dies between
taking it and noting that (celery#7950), Redis loses a second of work in a crash and everything in
a FLUSHALL, and a submission may find no Redis at all. Messages sent twice do no harm.
"""

from __future__ import annotations

from typing import NamedTuple

from regioncap import keys
from regioncap.job import Job
from regioncap.jobs import catalogue, finish, retry
from regioncap.jobs.results import summarize
from regioncap.services.backlog import Backlog, read_backlog
from regioncap.services.progress import Progress
from regioncap.services.queue import Sender
from regioncap.services.store import Store


class Reconciled(NamedTuple):
    """What was found and done."""

    #: `finished`, `cancelled`, or `open`.
    state: str
    #: Shards that were sent into the queue.
    render: list[int]
    caption: list[int]


def reconcile(
    store: Store, progress: Progress, sender: Sender, job: Job, backlog: Backlog | None = None
) -> Reconciled:
    """Brings one job's queue and progress in line with the store.

    Args:
        store: Where the job lies.
        progress: The job's progress.
        sender: Sends what is missing.
        job: The job.
        backlog: What is in the queue; read if not given.

    Raises:
        ServiceError: The store or Redis is away; doing it again does no harm.
    """
    if store.exists(keys.cancelled_key(job.job)):
        store.delete(keys.open_key(job.job))
        return Reconciled("cancelled", [], [])
    again = retry.pending(store, job.job)
    if catalogue.find_success(store, job.job) is not None:
        if not again:
            store.delete(keys.open_key(job.job))
            return Reconciled("finished", [], [])
        retry.reopen(store, progress, job, again)
    backlog = backlog or read_backlog(progress.redis, {job.settings.queue})
    rendered = _rebuild(store, progress, job, again)
    todo = set(range(job.shards)) - progress.done()
    if not todo and finish.finish(store, progress, job) is not None:
        return Reconciled("finished", [], [])
    queued = {n for n in todo if (job.job, n) in backlog.render}
    waiting = {n for n in todo if (job.job, n) in backlog.caption}
    # A retried shard starts over: rendering it tells which of its records lack pictures.
    to_render = sorted((todo - rendered - queued) | ((todo & again) - queued - waiting))
    to_caption = sorted((todo & rendered) - again - queued - waiting)
    sender.render(job, to_render)
    sender.caption(job, to_caption)
    return Reconciled("open", to_render, to_caption)


def _rebuild(store: Store, progress: Progress, job: Job, again: set[int]) -> set[int]:
    """Makes the progress tell what the store holds; returns the rendered shards."""
    known, stored = progress.done(), catalogue.parts(store, job.job, "results")
    for shard in known - stored:
        progress.forget_part(shard)
    for shard in stored - known - again:
        part = store.find(keys.part_key(job.job, "results", shard))
        if part is not None:
            progress.note_part(shard, summarize(part))
    rendered = catalogue.parts(store, job.job, "rendered")
    if progress.rendered() < len(rendered):
        for shard in rendered:
            progress.note_rendered(shard)
    return rendered
