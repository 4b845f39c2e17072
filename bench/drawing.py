"""Marked pictures ahead of a measurement: all shards of jobs, drawn by processes of the bench.

Through the queue, render workers would stop where captions do not keep up, as nobody captions yet.
"""

from __future__ import annotations

import multiprocessing
import os
from collections.abc import Sequence
from concurrent.futures import ProcessPoolExecutor

from bench import copies
from regioncap.client import Client
from regioncap.job import Job
from regioncap.settings import Settings


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
