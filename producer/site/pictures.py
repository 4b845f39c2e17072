"""Pictures of records: by job and record, never by a name that the browser brings."""

from __future__ import annotations

import threading
from collections.abc import Callable
from typing import Literal

from producer.site.catalogue import Kept
from regioncap import keys
from regioncap.client import Client
from regioncap.errors import NotFoundError, RecordError, StoreDeniedError
from regioncap.inputs.originals import Originals
from regioncap.job import Job
from regioncap.jobs import parts
from regioncap.jobs.marked import Redrawn
from regioncap.outputs.gallery import shown_jpeg
from regioncap.views.view import Limits

Kind = Literal["clean", "marked", "small"]

#: Pixels of the longer side of a small picture.
_SMALL_SIDE = 288
#: Pictures decoded at a time: a large one takes hundreds of megabytes.
_DECODED = 2
_JPEG = b"\xff\xd8\xff"


class Pictures:
    """Brings pictures.

    Args:
        client: Reaches the store.
        job: Brings a job by its id.
    """

    def __init__(self, client: Client, job: Callable[[str], Job]) -> None:
        self._job = job
        self._store = client.store
        self._originals = Originals(client.store, client.settings)
        self._limits = Limits.of(client.settings)
        self._decoding = threading.BoundedSemaphore(_DECODED)
        # An input part never changes; a page asks for pictures of the same few.
        self._sources: Kept[tuple[str, int], list[str | None]]
        self._sources = Kept(self._read_sources, 3600.0, 256)

    def jpeg(self, job: Job, index: int, kind: Kind) -> bytes:
        """The picture of a record.

        Args:
            job: The job.
            index: The record.
            kind: `marked` as the engine saw it first, `clean` as it was given, or that one small.

        Raises:
            NotFoundError: There is none.
            ServiceError: The store is away.
        """
        if not 0 <= index < job.records:
            raise NotFoundError(f"job {job.job} has no record {index}")
        if kind == "marked":
            found = self._marked(job, index)
            if found is None or not found.startswith(_JPEG):
                raise NotFoundError(f"record {index} has no marked picture")
            return found
        shard, place = divmod(index, job.settings.shard_size)
        source = self._sources((job.job, shard))[place]
        if source is None:
            raise NotFoundError(f"record {index} has no picture")
        try:
            data = self._originals.fetch(source)
            with self._decoding:
                side = _SMALL_SIDE if kind == "small" else None
                jpeg = shown_jpeg(data, side, max_pixels=self._limits.max_image_pixels)
        except (RecordError, StoreDeniedError) as error:
            # A reader may be allowed the marked pictures alone; the page falls back to them.
            raise NotFoundError(error.message) from error
        return jpeg

    def _marked(self, job: Job, index: int) -> bytes | None:
        if job.settings.keep_marked:
            return self._store.find(keys.marked_key(job.job, index))
        shard, place = divmod(index, job.settings.shard_size)
        record = parts.submitted(self._store, job, shard)[place]
        redrawn = Redrawn(self._store, job, self._limits, self._originals.fetch)
        with self._decoding:
            return redrawn.first(record)

    def _read_sources(self, of: tuple[str, int]) -> list[str | None]:
        job_id, shard = of
        return [record.source for record in parts.submitted(self._store, self._job(job_id), shard)]
