"""The caption worker: `celery -A workers.caption worker -Q caption -P threads`.

One process per GPU holds one engine for as long as it lives. The pool's threads only wait: each has
a shard in hand, and the engine sees all their records together.
"""

from __future__ import annotations

from functools import cache
from typing import Any

from celery import Task, signals

from regioncap import engines, logs
from regioncap.caption import CaptionStage
from regioncap.engines.thread import EngineThread
from regioncap.presence import Presence
from regioncap.progress import connect
from regioncap.queue import CAPTION_TASK, make_app
from regioncap.settings import worker_settings
from regioncap.store import Store
from workers.shards import Shards

#: Shards in hand: some keep the engine full while another waits for its last record.
_SHARDS_IN_HAND = 4

settings = worker_settings()
app = make_app(
    settings,
    name="regioncap-caption",
    worker_concurrency=settings.concurrency or _SHARDS_IN_HAND,
    worker_pool="threads",
)


@cache
def _shards() -> Shards:
    return Shards("caption", settings)


@cache
def _engine() -> EngineThread:
    return EngineThread(engines.make(settings))


@cache
def _stage() -> CaptionStage:
    return CaptionStage(Store(settings), _engine(), _shards().progress, settings)


@app.task(name=CAPTION_TASK, bind=True)
def caption(self: Task, job: str, shard: int) -> None:
    """Captions the records of a shard."""
    _shards().run(self, job, shard, _stage().run)


@signals.setup_logging.connect
def _setup_logging(**_: Any) -> None:
    logs.configure()


@signals.worker_init.connect
def _init(**_: Any) -> None:
    # Before the first message is taken: a message taken now would wait for the model to load.
    _engine().start()
    _stage()


@signals.worker_ready.connect
def _ready(**_: Any) -> None:
    engine = _engine().engine
    presence = Presence(
        connect(settings), "caption", queue=settings.queue, engine=engine.name, model=engine.model
    )
    signals.worker_shutting_down.connect(lambda **_: presence.stop(), weak=False)
    presence.start()


@signals.worker_shutdown.connect
def _shutdown(**_: Any) -> None:
    _engine().close()
