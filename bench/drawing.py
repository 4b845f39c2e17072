"""What a measurement finds done: jobs uploaded, and drawn by processes of the bench; none queued.

Through the queue, render workers would stop where captions do not keep up, as nobody captions yet;
and what is due there cannot be held up by moving lists, which are kept short. No janitor sees the
jobs either, before their turn: each worker has one, and it takes up what has stood still for two
minutes.
"""

from __future__ import annotations

import multiprocessing
import os
import sys
from collections.abc import Sequence
from concurrent.futures import ProcessPoolExecutor
from pathlib import Path
from typing import Any

from bench import copies
from regioncap import keys
from regioncap.client import Client
from regioncap.inputs.source import open_source
from regioncap.job import Job
from regioncap.jobs import markers
from regioncap.jobs.submit import submit
from regioncap.settings import Settings


def upload(client: Client, file: Path, **changes: Any) -> Job:
    """The job of a file, of which nothing is queued.

    Args:
        client: The services.
        file: Of records, beside their pictures.
        changes: Settings of the job's own.
    """
    settings = client.settings.for_job(changes)
    with open_source(str(file), sys.stdin.buffer) as source:
        job, _ = submit(source.records, store=client.store, settings=settings, root=file.parent)
    set_aside(client, job)
    return job


def set_aside(client: Client, job: Job) -> None:
    """Hides a job from janitors, which see those that are marked as open."""
    markers.remove(client.store, list(client.store.list_keys(keys.open_key(job.job))))


def take_up(client: Client, job: Job) -> None:
    """Marks a job as open; to be called before it is queued."""
    client.store.put(keys.open_key(job.job), b"")


def draw(settings: Settings, jobs: Sequence[Job]) -> None:
    """Runs the render stage of all shards; asks for no captions.

    Args:
        settings: The services.
        jobs: Uploaded jobs.
    """
    processes = os.cpu_count() or 1
    context = multiprocessing.get_context("spawn")
    with ProcessPoolExecutor(processes, mp_context=context) as pool:
        drawn = [
            pool.submit(_draw, settings, job, range(first, job.shards, processes))
            for job in jobs
            for first in range(min(processes, job.shards))
        ]
        for each in drawn:
            each.result()


def _draw(settings: Settings, job: Job, shards: range) -> None:
    copies.render(Client(settings), job, shards)
