"""The caption worker: `celery -A workers.caption worker -Q caption -P threads`.

One process per GPU holds one engine for as long as it lives. The pool's threads only wait: each has
a shard in hand, and the engine sees all their records together.
"""

from __future__ import annotations

import threading
from functools import cache
from typing import Any

import structlog
from celery import Task, signals

from regioncap import engines, keys
from regioncap.engines.thread import EngineThread
from regioncap.errors import RegionCapError, StoreError
from regioncap.jobs.caption import CaptionStage
from regioncap.jobs.janitor import Janitor
from regioncap.services.broker import connect
from regioncap.services.queue import CAPTION_TASK, Sender, make_app
from regioncap.services.store import Store
from regioncap.settings import worker_settings
from workers import logs
from workers.drain import Drain
from workers.monitor import Monitor
from workers.shards import Shards

#: Shards in hand: some keep the engine full while another waits for its last record.
_SHARDS_IN_HAND = 4
#: How often cancelled jobs are looked for among those in hand.
_CANCEL_POLL_S = 1.0

settings = worker_settings()
app = make_app(
    settings,
    name="regioncap-caption",
    worker_concurrency=settings.concurrency or _SHARDS_IN_HAND,
    worker_pool="threads",
)
_log = structlog.get_logger("regioncap")


@cache
def _shards() -> Shards:
    return Shards("caption", settings, check=lambda: _engine().check(), on_engine_death=_drain.die)


@cache
def _store() -> Store:
    return Store(settings)


@cache
def _engine() -> EngineThread:
    return EngineThread(engines.make(settings))


@cache
def _stage() -> CaptionStage:
    return CaptionStage(
        _store(),
        _engine(),
        _shards().progress,
        settings,
        gpus=engines.gpus(settings),
        keep_captions=settings.keep_captions,
    )


def _stop_waiting() -> None:
    _shards().stopping.set()


def _stop_work() -> None:
    _stage().stop()


_monitor = Monitor(settings, "caption", _engine)
_drain = Drain(settings.grace_s, on_stop=_stop_waiting, on_grace_over=_stop_work)


@app.task(name=CAPTION_TASK, bind=True)
def caption(self: Task, job: str, shard: int) -> None:
    """Captions the records of a shard."""
    _shards().run(self, job, shard, _stage().run)


@signals.setup_logging.connect
def _setup_logging(**_: Any) -> None:
    logs.configure()


@signals.worker_init.connect
def _init(**_: Any) -> None:
    # Celery sets logging up only after this.
    logs.configure()
    try:
        # Before the first message is taken: one taken now would wait for the model to load.
        _engine().start()
        _stage()
    except RegionCapError as error:
        _log.error("the engine does not start", code=error.code, error=str(error))
        # Celery would log any other exception of a receiver, and take messages all the same.
        raise SystemExit(error.exit_code) from error
    except Exception as error:
        _log.exception("the engine does not start")
        raise SystemExit(RegionCapError.exit_code) from error


@signals.worker_ready.connect
def _ready(**_: Any) -> None:
    threading.Thread(target=_watch_for_cancelled, name="cancelled", daemon=True).start()
    Janitor(_store(), connect(settings), Sender(app), settings.visibility_timeout_s).start()


def _watch_for_cancelled() -> None:
    """Takes cancelled jobs' requests out of the engine."""
    while True:
        threading.Event().wait(_CANCEL_POLL_S)
        for job in _stage().jobs_in_hand():
            try:
                if _store().exists(keys.cancelled_key(job)):
                    _stage().stop(job)
            except StoreError as error:
                _log.warning("cannot tell whether a job is cancelled", error=str(error))


@signals.worker_shutdown.connect
def _shutdown(**_: Any) -> None:
    _engine().close()
