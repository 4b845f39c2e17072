"""Jobs of any size, made from one shard that was really rendered and captioned.

What the stages would write is written for every shard, with the records' places changed and the
pictures shared: the objects and messages of a job of a million records, without the time that
drawing and captioning a million pictures takes.
"""

from __future__ import annotations

import re
from collections.abc import Iterable
from pathlib import Path

from bench.render import make_pictures
from regioncap import keys
from regioncap.client import Client
from regioncap.engines.baseline import BaselineEngine
from regioncap.engines.thread import EngineThread
from regioncap.job import Job
from regioncap.jobs import catalogue
from regioncap.jobs.caption import CaptionStage
from regioncap.jobs.render import RenderStage
from regioncap.jobs.results import summarize
from regioncap.jobs.submit import submit
from regioncap.parallel import map_ahead
from regioncap.records import InputRecord, RenderedRecord, dump_lines, load_lines
from regioncap.services.progress import Progress
from regioncap.services.store import Store

_PLACE = re.compile(rb'"index": (\d+), "line": (\d+)')


class NoSender:
    """Queues nothing: the next stage is called by hand."""

    def caption(self, *_: object) -> None:
        """Does nothing."""


def submit_one_shard(client: Client, folder: Path, size: int, **settings: object) -> Job:
    """Submits a shard of pictures of 640x480 with 1 to 10 boxes; queues nothing."""
    records = []
    for index, (data, boxes) in enumerate(zip(*make_pictures(size), strict=True)):
        (folder / f"{index}.jpg").write_bytes(data)
        bbox = [list(box) for box in boxes]
        records.append(InputRecord(index=index, line=index + 1, image=f"{index}.jpg", bbox=bbox))
    changed = {"shard_size": size, **settings}
    job, _ = submit(
        records,
        store=client.store,
        settings=client.settings.model_copy(update=changed),
        root=folder,
    )
    return job


def render(client: Client, job: Job, shards: Iterable[int] = (0,)) -> None:
    """Runs the render stage here."""
    stage = RenderStage(
        client.store, client.settings, NoSender(), lambda job: Progress(client.redis, job)  # type: ignore[arg-type]
    )  # fmt: skip
    for shard in shards:
        stage.run(job.job, shard)


def caption(client: Client, job: Job) -> bytes:
    """Runs the caption stage of the first shard here, with the baseline; returns its part."""
    engine = EngineThread(BaselineEngine())
    engine.start()
    progress = Progress(client.redis, job.job)
    stage = CaptionStage(
        client.store,
        engine,
        lambda _: progress,
        client.settings,
        NoSender(),  # type: ignore[arg-type]
    )
    stage.run(job.job, 0)
    engine.close()
    return client.store.get(keys.part_key(job.job, "results", 0))


def widen(store: Store, job: Job, shards: int) -> Job:
    """Makes the job one of that many shards, all rendered as its first one is."""
    size = job.settings.shard_size
    first = load_lines(RenderedRecord, store.get(keys.part_key(job.job, "rendered", 0)))
    wide = job.model_copy(update={"shards": shards, "records": shards * size})
    catalogue.save(store, wide)

    def write(shard: int) -> None:
        moved = [
            record.model_copy(update={"index": shard * size + i, "line": shard * size + i + 1})
            for i, record in enumerate(first)
        ]
        store.put(keys.part_key(job.job, "rendered", shard), dump_lines(moved))

    for _ in map_ahead(write, range(1, shards)):
        pass
    return wide


def write_results(client: Client, job: Job, part: bytes) -> None:
    """Writes a finished part's copies as the results of all shards of a job, and notes them."""
    size, progress = job.settings.shard_size, Progress(client.redis, job.job)

    def write(shard: int) -> None:
        first = shard * size
        moved = _PLACE.sub(lambda found: _moved(found, first), part)
        moved = b"".join(moved.splitlines(keepends=True)[: len(job.shard_records(shard))])
        client.store.put(keys.part_key(job.job, "results", shard), moved)
        progress.note_part(shard, summarize(moved))

    for _ in map_ahead(write, range(job.shards)):
        pass


def _moved(place: re.Match[bytes], first: int) -> bytes:
    index, line = (int(number) + first for number in place.groups())
    return b'"index": %d, "line": %d' % (index, line)
