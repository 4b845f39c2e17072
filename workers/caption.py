"""The caption worker: `celery -A workers.caption worker -Q caption -P threads`.

One process per GPU holds one engine for as long as it lives. The pool's threads only wait: each has
a shard in hand, and the engine sees all their records together.
"""

from __future__ import annotations

import threading
from functools import cached_property
from typing import Any

import redis
import structlog
from celery import Celery, Task, signals
from celery.worker import WorkController

from regioncap import engines, keys
from regioncap.engines.thread import EngineThread
from regioncap.errors import RegionCapError, StoreError
from regioncap.jobs import grids
from regioncap.jobs.caption import CaptionStage
from regioncap.jobs.ends import Ends
from regioncap.jobs.janitor import Janitor
from regioncap.jobs.load import Load
from regioncap.parallel import sleep, start_thread
from regioncap.services.broker import connect
from regioncap.services.channel import take_while
from regioncap.services.feeder import Feeder
from regioncap.services.leases import Leases
from regioncap.services.progress import Progress
from regioncap.services.queue import CAPTION_TASK, make_app
from regioncap.services.rounds import Rounds
from regioncap.services.sender import Sender
from regioncap.services.store import Store
from regioncap.settings import Settings, worker_settings
from workers import logs, recall
from workers.backup import Backup
from workers.drain import Drain
from workers.intake import Intake
from workers.monitor import Monitor
from workers.process import CeleryProcess
from workers.shards import Shards
from workers.task import run_shard

#: Shards in hand with an engine that has no batch to fill.
_SHARDS_IN_HAND = 4
#: How often cancelled jobs are looked for among those in hand.
_CANCEL_POLL_S = 1.0
_TELL_AGAIN_S = 15.0

_log = structlog.get_logger("regioncap")


class CaptionWorker:
    """What one process holds; its parts are made when Celery starts the worker, not before.

    Args:
        settings: All that the parts need to know.
        app: The app that the worker belongs to.
    """

    def __init__(self, settings: Settings, app: Celery) -> None:
        self._settings = settings
        self._app = app
        self._stopping = threading.Event()
        self._process = CeleryProcess()
        self._drain = Drain(
            self._process,
            settings.grace_s,
            on_stop=self._stopping.set,
            on_grace_over=self._stop_work,
        )
        self._monitor = Monitor(settings, "caption", lambda: self.engine, self.leases.silent_s)
        self._load = Load()

    def connect(self) -> None:
        """Connects the worker to Celery's signals."""
        logs.connect()
        self._monitor.connect()
        self._process.connect()
        signals.worker_shutting_down.connect(self._drain.stop, weak=False)
        signals.worker_init.connect(self._init, weak=False)
        signals.worker_ready.connect(self._ready, weak=False)
        signals.worker_shutdown.connect(self._shutdown, weak=False)

    @cached_property
    def store(self) -> Store:
        """The object store."""
        return Store(self._settings)

    @cached_property
    def engine(self) -> EngineThread:
        """The engine; not started yet."""
        return EngineThread(engines.make(self._settings))

    @cached_property
    def _redis(self) -> redis.Redis:
        return connect(self._settings)

    @cached_property
    def leases(self) -> Leases:
        """Keep the shards in hand from others, for as long as they make progress."""
        return Leases(
            connect(self._settings),
            self._settings.visibility_timeout_s,
            stalled_s=self._settings.shard_timeout_s,
        )

    @cached_property
    def shards(self) -> Shards:
        """Runs the shards in hand."""
        return Shards(
            "caption",
            self._redis,
            self.leases,
            check=self.stage.check,
            try_out=self.stage.try_out,
            on_engine_death=self._drain.die,
            stopping=self._stopping,
        )

    @cached_property
    def feeder(self) -> Feeder:
        """Fills queues up."""
        return Feeder(self._redis)

    @cached_property
    def _sender(self) -> Sender:
        return Sender(self._redis, self._settings)

    def progress(self, job_id: str) -> Progress:
        """The progress of a job."""
        return Progress(self._redis, job_id)

    @cached_property
    def stage(self) -> CaptionStage:
        """Does their work."""
        return CaptionStage(
            self.store,
            self.engine,
            self.progress,
            self._settings,
            self._sender,
            gpus=engines.gpus(self._settings),
            keep_captions=self._settings.keep_captions,
            load=self._load,
        )

    def _init(self, sender: WorkController, **_: Any) -> None:
        # Celery sets logging up only after this.
        logs.configure()
        try:
            # Before the first message is taken: one taken now would wait for the model to load.
            self.engine.start()
            self.stage  # noqa: B018 - made here, in one thread
            self._monitor.shard_s = self.shards.times.medians_s
            self._fill_the_batch(sender)
        except RegionCapError as error:
            _log.error("the engine does not start", code=error.code, error=str(error))
            # Celery would log any other exception of a receiver, and take messages all the same.
            raise SystemExit(error.exit_code) from error
        except Exception as error:
            _log.exception("the engine does not start")
            raise SystemExit(RegionCapError.exit_code) from error

    def _fill_the_batch(self, celery: WorkController) -> None:
        """Takes as many shards as keep the engine full, unless the user says how many."""
        stats = self.engine.engine.stats()
        if stats is None or celery.concurrency != _SHARDS_IN_HAND or self._settings.concurrency:
            return
        intake = Intake(stats.batch, self._load, self._process.taken, self._process.wake)
        self._load.on_less = intake.look_again
        celery.concurrency = intake.most_shards
        self._monitor.room = intake.room
        take_while(intake.has_room)

    def _stop_work(self) -> None:
        self.stage.stop()

    def _ready(self, **_: Any) -> None:
        Rounds(
            "cancelled", self._stop_cancelled, _CANCEL_POLL_S, "cancelled jobs are not looked for"
        ).start()
        start_thread("grid", self._tell_grid)
        recall.rounds(connect(self._settings), self._settings.queue).start()
        client, patience_s = connect(self._settings), self._settings.visibility_timeout_s
        Backup(client, self._settings.queue, self._has_room).rounds().start()
        ends, sender = Ends(self.store, client, self._settings), Sender(client, self._settings)
        Janitor(self.store, client, sender, patience_s, stands_by=True, ends=ends).start()

    def _has_room(self) -> bool:
        return self._monitor.room() > self._process.taken()

    def _tell_grid(self) -> None:
        """Tells submissions how the model takes pictures."""
        while True:
            try:
                grids.tell(self.store, self._settings.queue, self.engine.engine)
            except StoreError as error:
                _log.warning("cannot tell how the model takes pictures", error=str(error))
                sleep(_TELL_AGAIN_S)
            else:
                return

    def _stop_cancelled(self) -> None:
        """Takes cancelled jobs' requests out of the engine."""
        for job in self.stage.jobs_in_hand():
            if self.store.exists(keys.cancelled_key(job)):
                self.stage.stop(job)

    def _shutdown(self, **_: Any) -> None:
        self.engine.close()


_settings = worker_settings()
app = make_app(
    _settings,
    name="regioncap-caption",
    worker_concurrency=_settings.concurrency or _SHARDS_IN_HAND,
    worker_pool="threads",
)
worker = CaptionWorker(_settings, app)
worker.connect()


@app.task(name=CAPTION_TASK, bind=True)
def caption(self: Task, job: str, shard: int) -> None:
    """Captions the records of a shard."""
    worker.feeder.after_taking(_settings.queue)
    run_shard(worker.shards, self, job, shard, worker.stage.run)
