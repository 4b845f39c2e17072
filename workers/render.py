"""The render worker: `celery -A workers.render worker -Q render`.

Prefork: each child draws in a process of its own, which a broken picture may take down alone.
"""

from __future__ import annotations

import contextlib
import resource
from functools import cached_property
from typing import Any

import redis
from celery import Celery, Task, signals

from regioncap.jobs.ends import Ends
from regioncap.jobs.janitor import Janitor
from regioncap.jobs.render import RenderStage
from regioncap.jobs.turn import Turn
from regioncap.services.broker import connect
from regioncap.services.feeder import Feeder
from regioncap.services.leases import Leases
from regioncap.services.queue import RENDER, RENDER_TASK, make_app
from regioncap.services.sender import Sender
from regioncap.services.store import Store
from regioncap.settings import Settings, worker_settings
from workers import logs, recall
from workers.drain import Drain
from workers.monitor import Monitor
from workers.process import CeleryProcess
from workers.shards import Shards
from workers.task import run_shard


class RenderWorker:
    """What one worker holds; its children make what draws, with their first shard.

    Connections and threads do not survive a fork.

    Args:
        settings: All that the parts need to know.
        app: The app that the worker belongs to.
    """

    def __init__(self, settings: Settings, app: Celery) -> None:
        self._settings = settings
        self._app = app
        self._process = CeleryProcess()
        self._drain = Drain(self._process, settings.grace_s)
        self._monitor = Monitor(settings, "render")

    def connect(self) -> None:
        """Connects the worker to Celery's signals."""
        logs.connect()
        self._process.connect()
        self._monitor.connect()
        signals.worker_shutting_down.connect(self._drain.stop, weak=False)
        signals.worker_process_init.connect(self._limit_memory, weak=False)
        signals.worker_ready.connect(self._ready, weak=False)

    @cached_property
    def shards(self) -> Shards:
        """Runs a child's shards."""
        client, settings = self._redis, self._settings
        leases = Leases(client, settings.visibility_timeout_s, stalled_s=settings.shard_timeout_s)
        return Shards("render", client, leases, try_out=lambda _: self._stage.check())

    @cached_property
    def feeder(self) -> Feeder:
        """Fills queues up, in a child."""
        return Feeder(self._redis)

    @cached_property
    def _redis(self) -> redis.Redis:
        return connect(self._settings)

    @cached_property
    def _stage(self) -> RenderStage:
        store, sender = Store(self._settings), Sender(self._redis, self._settings)
        return RenderStage(store, self._settings, sender, self.shards.progress)

    def work(self, job: str, shard: int, turn: Turn) -> str:
        """Does a shard's work; the stage is made in here, where what goes wrong is caught."""
        return self._stage.run(job, shard, turn)

    def _ready(self, **_: Any) -> None:
        # In the main process, which does nothing else.
        recall.rounds(connect(self._settings), RENDER).start()
        client, patience_s = connect(self._settings), self._settings.visibility_timeout_s
        store, sender = Store(self._settings), Sender(client, self._settings)
        ends = Ends(store, client, self._settings)
        Janitor(store, client, sender, patience_s, ends=ends).start()

    def _limit_memory(self, **_: Any) -> None:
        # What the pool's own limit does not see: a single picture that takes all there is.
        limit_bytes = self._settings.memory_limit_mb * 1_000_000
        with contextlib.suppress(OSError, ValueError):  # a lower limit is set, or none can be
            resource.setrlimit(resource.RLIMIT_AS, (limit_bytes, limit_bytes))


_settings = worker_settings()
app = make_app(
    _settings,
    name="regioncap-render",
    worker_concurrency=_settings.concurrency,
    worker_max_tasks_per_child=200,
    worker_max_memory_per_child=2_000_000,  # KiB; checked between shards
    worker_lost_wait=2.0,  # seconds for a result that a dead process may have sent last
    task_time_limit=_settings.shard_timeout_s,
)
worker = RenderWorker(_settings, app)
worker.connect()


@app.task(name=RENDER_TASK, bind=True)
def render(self: Task, job: str, shard: int) -> None:
    """Draws the pictures of a shard."""
    worker.feeder.after_taking(RENDER)
    run_shard(worker.shards, self, job, shard, worker.work)
