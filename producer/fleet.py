"""The fleet: workers and the shards in their hands, queues, and the jobs under way."""

from __future__ import annotations

import time
from collections import Counter
from collections.abc import Iterator
from contextlib import suppress
from itertools import islice

import redis
from pydantic import BaseModel, Field, ValidationError

from regioncap.jobs import catalogue
from regioncap.jobs.status import JobStatus, job_status
from regioncap.records import SCHEMA_VERSION
from regioncap.services import presence
from regioncap.services.backlog import read_depths
from regioncap.services.queue import CAPTION, RENDER
from regioncap.services.store import Store

#: Jobs shown: the newest ones that are not finished.
_MOST_JOBS = 20


class Held(BaseModel):
    """A shard in a worker's hands."""

    job: str
    shard: int
    seconds: float
    #: Whether another worker has it, too: its holder is slow, or has lost its lease.
    is_twice: bool = False


class WorkerView(BaseModel):
    """One worker, by its own words, at most a few seconds old."""

    kind: str
    host: str
    pid: int
    queue: str
    up_s: float
    engine: str = ""
    model: str = ""
    #: Shards in hand, and how many there can be.
    in_hand: list[Held] = Field(default_factory=list)
    room: int = 0
    #: Since its start, and by the second over the last minute: shards, records, regions, tokens.
    totals: dict[str, int] = Field(default_factory=dict)
    per_s: dict[str, float] = Field(default_factory=dict)


class QueueView(BaseModel):
    """One queue."""

    name: str
    queued: int
    unacked: int
    oldest_s: float
    #: Shards that wait for a time before they are queued again.
    waiting: int = 0
    #: Shards that follow into the queue as soon as it has room, and those that follow later, as
    #: their job has its window full or captions lag behind.
    due: int = 0
    paused: int = 0
    #: Of a caption queue, shards of its jobs that are not sent to be drawn yet.
    undrawn: int = 0
    workers: int


class JobView(BaseModel):
    """A job under way."""

    status: JobStatus
    #: Records by the second since it was submitted, and the time left at that pace.
    per_s: float
    eta_s: float | None


class Fleet(BaseModel):
    """All of it, at one moment."""

    schema_version: int = SCHEMA_VERSION
    at: float
    workers: list[WorkerView]
    queues: list[QueueView]
    jobs: list[JobView]


def look(store: Store, client: redis.Redis) -> Fleet:
    """Looks at the whole fleet once.

    Raises:
        ServiceError: Redis or the store cannot be reached.
    """
    now = time.time()
    workers = list(_workers(client, now))
    find_twice(workers)
    return Fleet(
        at=now,
        workers=workers,
        queues=_queues(client, workers),
        jobs=_jobs(store, client, now),
    )


def _workers(client: redis.Redis, now: float) -> Iterator[WorkerView]:
    for told in presence.workers(client):
        told["up_s"] = max(0.0, now - told.pop("since"))
        with suppress(ValidationError):  # by a worker of another version, or by nobody of ours
            yield WorkerView.model_validate(told)


def find_twice(workers: list[WorkerView]) -> None:
    """Notes of shards in several workers' hands that they are."""
    counts = Counter((w.kind, h.job, h.shard) for w in workers for h in w.in_hand)
    for worker in workers:
        for held in worker.in_hand:
            held.is_twice = counts[worker.kind, held.job, held.shard] > 1


def _queues(client: redis.Redis, workers: list[WorkerView]) -> list[QueueView]:
    served = [worker.queue for worker in workers]
    depths = read_depths(client, [RENDER, CAPTION, *served])
    order = sorted(depths, key=lambda name: (name != RENDER, name))
    return [
        QueueView(name=name, workers=served.count(name), **depths[name]._asdict()) for name in order
    ]


def _jobs(store: Store, client: redis.Redis, now: float) -> list[JobView]:
    newest = sorted(catalogue.open_ids(store), reverse=True)
    views = []
    # What is left out is being submitted, or not ours to read.
    for job in islice(catalogue.load_each(store, newest, lambda *_: None), _MOST_JOBS):
        status = job_status(store, client, job)
        passed_s = max(1e-3, now - status.created.timestamp())
        per_s = status.done / passed_s
        left = status.records - status.done
        views.append(
            JobView(
                status=status,
                per_s=per_s,
                eta_s=left / per_s if status.done and not status.rests else None,
            )
        )
    return views
