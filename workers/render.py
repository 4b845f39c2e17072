"""The render worker: `celery -A workers.render worker -Q render`.

Prefork: each child draws in a process of its own, which a broken picture may take down alone.
"""

from __future__ import annotations

import contextlib
import resource
from functools import cache
from typing import Any

from celery import Task, signals

from regioncap.jobs.render import RenderStage
from regioncap.services.queue import RENDER_TASK, Sender, make_app
from regioncap.services.store import Store
from regioncap.settings import worker_settings
from workers import logs
from workers.drain import Drain
from workers.monitor import Monitor
from workers.shards import Shards

settings = worker_settings()
app = make_app(
    settings,
    name="regioncap-render",
    worker_concurrency=settings.concurrency,
    worker_max_tasks_per_child=200,
    worker_max_memory_per_child=2_000_000,  # KiB; checked between shards
    worker_lost_wait=2.0,  # seconds for a result that a dead process may have sent last
    task_time_limit=settings.shard_timeout_s,
)
_drain = Drain(settings.grace_s)
_monitor = Monitor(settings, "render")


@cache
def _shards() -> Shards:
    return Shards("render", settings)


@cache
def _stage() -> RenderStage:
    # Made in the child: connections and threads do not survive a fork.
    return RenderStage(Store(settings), settings, Sender(app), _shards().progress)


@app.task(name=RENDER_TASK, bind=True)
def render(self: Task, job: str, shard: int) -> None:
    """Draws the pictures of a shard."""
    _shards().run(self, job, shard, lambda *work: _stage().run(*work))


@signals.worker_process_init.connect
def _limit_memory(**_: Any) -> None:
    # What the pool's own limit does not see: a single picture that takes all there is.
    limit_bytes = settings.memory_limit_mb * 1_000_000
    with contextlib.suppress(OSError, ValueError):  # a lower limit is set, or none can be
        resource.setrlimit(resource.RLIMIT_AS, (limit_bytes, limit_bytes))


@signals.setup_logging.connect
def _setup_logging(**_: Any) -> None:
    logs.configure()
