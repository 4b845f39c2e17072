"""The stages as plain calls, without workers: what a message would have them do, a test does."""

from __future__ import annotations

from collections.abc import Iterator
from contextlib import contextmanager
from functools import partial
from pathlib import Path

import redis
from PIL import Image

from regioncap.engines.baseline import BaselineEngine
from regioncap.engines.thread import EngineThread
from regioncap.inputs.source import open_source
from regioncap.job import Job
from regioncap.jobs.caption import CaptionStage
from regioncap.jobs.render import RenderStage
from regioncap.jobs.submit import submit
from regioncap.services.broker import connect
from regioncap.services.progress import Progress
from regioncap.services.store import Store
from regioncap.settings import Settings


class Silent:
    """Sends nothing: the test calls the next stage itself."""

    def caption(self, *_: object) -> None: ...

    def render(self, *_: object) -> None: ...


class Stages:
    """Both stages in this process, on the real store and Redis."""

    def __init__(self, settings: Settings) -> None:
        self.store = Store(settings)
        self.settings = settings
        self.progress = partial(Progress, connect(settings))
        self.engine = EngineThread(BaselineEngine())
        self.engine.start()
        self.render = RenderStage(self.store, settings, Silent(), self.progress)  # type: ignore[arg-type]
        self.caption = CaptionStage(self.store, self.engine, self.progress, settings, Silent())  # type: ignore[arg-type]

    def job(self, folder: Path, shard_size: int = 2) -> Job:
        """A job of two records that no message tells of: one shard, or two."""
        for name, colour in (("red", (200, 0, 0)), ("blue", (0, 0, 200))):
            Image.new("RGB", (64, 64), colour).save(folder / f"{name}.png")
        file = folder / "in.jsonl"
        file.write_text('{"image": "red.png"}\n{"image": "blue.png"}\n')
        return self.submitted(file, shard_size=shard_size)

    def submitted(self, file: Path, *, shard_size: int = 2, name: str = "") -> Job:
        """A job of a file that no message tells of."""
        with open_source(str(file), None, None) as source:  # type: ignore[arg-type]
            submitted, _ = submit(
                source.records,
                store=self.store,
                settings=self.settings.model_copy(update={"shard_size": shard_size}),
                root=file.parent,
                name=name,
            )
        return submitted


@contextmanager
def own_stages(settings: Settings) -> Iterator[Stages]:
    """Both stages, with their bucket made, for as long as the block runs."""
    stages = Stages(settings)
    stages.store.ensure_bucket()
    yield stages
    stages.engine.close()


@contextmanager
def empty_redis(settings: Settings) -> Iterator[redis.Redis]:
    """A Redis in which nothing is, before the block and after it."""
    client = connect(settings)
    client.flushdb()
    yield client
    client.flushdb()


@contextmanager
def two_shards(stages: Stages, folder: Path) -> Iterator[Job]:
    """A job of a record a shard, in a bucket that is empty after the block."""
    yield stages.job(folder, shard_size=1)
    stages.store.delete_all(stages.store.list_keys(""))
