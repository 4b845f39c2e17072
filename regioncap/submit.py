"""Submitting: from input lines to a job in the store and messages in the queue.

Sources are uploaded under the hash of their bytes, so that no picture is sent twice. All of a job
is in the store before its first message is sent: if Redis is away then, nothing is lost.
"""

from __future__ import annotations

import hashlib
import threading
from collections import deque
from collections.abc import Callable, Iterable, Iterator
from concurrent.futures import Future, ThreadPoolExecutor
from dataclasses import dataclass, field
from itertools import islice
from pathlib import Path
from typing import BinaryIO

from regioncap import jobs, layout
from regioncap.errors import RecordError, UsageError
from regioncap.images import probe
from regioncap.jobs import Job
from regioncap.records import MAX_LINE_BYTES, InputRecord, Problem, dump_lines, parse_line
from regioncap.settings import Settings
from regioncap.store import Store, parse_s3_uri

#: Shards whose uploads are under way at a time: enough to hide latency, few enough for memory.
_WINDOW = 4


@dataclass(slots=True)
class Tally:
    """What a submission has done so far."""

    records: int = 0
    rejected: int = 0
    uploaded: int = 0
    uploaded_bytes: int = 0
    #: Pictures that were in the store already.
    known: int = 0
    #: The first few rejected records, to show.
    samples: list[InputRecord] = field(default_factory=list)


def read_lines(file: BinaryIO) -> Iterator[InputRecord]:
    """Records of a JSON Lines file, as a stream; blank lines are skipped."""
    index = 0
    for number, raw in enumerate(_lines(file), start=1):
        if raw.strip(b" \t\r\n\xef\xbb\xbf"):
            yield parse_line(raw.rstrip(b"\r\n"), line=number, index=index)
            index += 1


def _lines(file: BinaryIO) -> Iterator[bytes]:
    """Lines, none held in memory beyond the limit: of a longer one comes what shows that it is."""
    while line := file.readline(MAX_LINE_BYTES + 2):
        rest = line
        while not rest.endswith(b"\n") and (rest := file.readline(MAX_LINE_BYTES)):
            pass
        yield line


class Uploader:
    """Brings the pictures of records into the store.

    Args:
        store: Where they go.
        settings: Limits, and the buckets that may be named.
        root: Folder that paths are read relative to and may not leave.
        tally: Counted up as pictures are dealt with.
    """

    def __init__(self, store: Store, settings: Settings, root: Path, tally: Tally) -> None:
        self._store = store
        self._settings = settings
        self._root = root.resolve()
        self._tally = tally
        self._lock = threading.Lock()
        self._buckets = {settings.s3_bucket, *settings.s3_source_buckets}

    def upload(self, record: InputRecord) -> InputRecord:
        """Sets the record's source, or its error."""
        if record.error is None and record.image is not None:
            try:
                record.source = self._source(record.image)
            except RecordError as error:
                record.error = Problem.of(error, "submit")
        return record

    def _source(self, image: str) -> str:
        if image.startswith("s3://"):
            return self._checked_uri(image)
        if "://" in image or image.startswith("data:"):
            raise RecordError(
                f"image {image[:80]!r} is a URL",
                code="image-url",
                hint="only paths and s3:// URIs are read; download it first",
            )
        data = self._read(image)
        probe(data, self._settings.max_image_pixels)
        return self._store.uri(self._put(data))

    def _checked_uri(self, uri: str) -> str:
        try:
            bucket, _ = parse_s3_uri(uri)
        except ValueError as error:
            raise RecordError(f"image is {error}", code="bad-image-uri") from None
        if bucket not in self._buckets:
            raise RecordError(
                f"bucket {bucket!r} may not be read from",
                code="bucket-not-allowed",
                hint="list it in REGIONCAP_S3_SOURCE_BUCKETS, for submit and workers",
            )
        return uri

    def _read(self, image: str) -> bytes:
        try:
            path = (self._root / image).resolve()
            inside = path.is_relative_to(self._root)
            size = path.stat().st_size if inside else 0
        except (OSError, ValueError, RuntimeError) as error:
            raise _missing(image, self._root, error) from None
        if not inside:
            raise RecordError(
                f"image {image!r} lies outside {self._root}",
                code="image-outside",
                hint="name the folder that holds it with --image-root",
            )
        if size > self._settings.max_image_bytes:
            raise RecordError(
                f"image {image!r} has {size:,} bytes, more than {self._settings.max_image_bytes:,}",
                code="image-too-large",
                hint="the limit is REGIONCAP_MAX_IMAGE_BYTES",
            )
        try:
            return path.read_bytes()
        except OSError as error:
            raise _missing(image, self._root, error) from None

    def _put(self, data: bytes) -> str:
        key = layout.image_key(hashlib.sha256(data).hexdigest(), _extension(data))
        known = self._store.exists(key)
        if not known:
            self._store.put(key, data)
        with self._lock:
            self._tally.known += known
            self._tally.uploaded += not known
            self._tally.uploaded_bytes += 0 if known else len(data)
        return key


def _missing(image: str, root: Path, error: Exception) -> RecordError:
    reason = error.strerror if isinstance(error, OSError) else str(error)
    return RecordError(
        f"image {image[:200]!r} cannot be read: {reason}",
        code="image-missing",
        hint=f"paths are read relative to {root}",
    )


def _extension(data: bytes) -> str:
    """File extension by the first bytes; names say little about content."""
    if data.startswith(b"\xff\xd8"):
        return "jpg"
    if data.startswith(b"\x89PNG"):
        return "png"
    return "webp"


def submit(
    records: Iterable[InputRecord],
    *,
    store: Store,
    settings: Settings,
    root: Path,
    source: str = "",
    name: str = "",
    labels: dict[str, str] | None = None,
    prompt_template: str = "",
    on_progress: Callable[[Tally], None] = lambda _: None,
    threads: int = 8,
) -> tuple[Job, Tally]:
    """Uploads pictures, writes the input parts and then job.json; queues nothing.

    Args:
        records: The records, from 0 on, in order.
        store: Where all goes.
        settings: The job's settings are taken from here.
        root: Folder that image paths are relative to.
        source: Where the records came from, for people to read.
        name: The user's name for the job.
        labels: The user's labels.
        prompt_template: Text of the prompt template, if it is the user's own.
        on_progress: Called from one thread as shards are done.
        threads: Uploads at a time.

    Returns:
        The job and what was done.

    Raises:
        UsageError: There are no records.
        StoreError: The store cannot be reached; there is no job then.
    """
    tally = Tally()
    uploader = Uploader(store, settings, root, tally)
    job_id, shards = layout.new_job_id(), 0
    with ThreadPoolExecutor(threads, thread_name_prefix="upload") as pool:
        for shard in _uploaded_shards(records, uploader, pool, settings.shard_size):
            store.put(layout.input_key(job_id, shards), dump_lines(shard), "application/x-ndjson")
            shards += 1
            _count(tally, shard)
            on_progress(tally)
    if not shards:
        raise UsageError(f"{source or 'the input'} holds no records", code="no-records")
    job = Job(
        job=job_id,
        created=jobs.now(),
        name=name,
        labels=labels or {},
        source=source,
        records=tally.records,
        shards=shards,
        rejected=tally.rejected,
        settings=settings.job_settings(),
        prompt_template=prompt_template,
    )
    jobs.save(store, job)
    return job, tally


def _uploaded_shards(
    records: Iterable[InputRecord], uploader: Uploader, pool: ThreadPoolExecutor, size: int
) -> Iterator[list[InputRecord]]:
    """Shards in order, a few under way at a time."""
    stream = iter(records)
    pending: deque[list[Future[InputRecord]]] = deque()
    while batch := list(islice(stream, size)):
        pending.append([pool.submit(uploader.upload, record) for record in batch])
        if len(pending) >= _WINDOW:
            yield [future.result() for future in pending.popleft()]
    while pending:
        yield [future.result() for future in pending.popleft()]


def _count(tally: Tally, shard: list[InputRecord]) -> None:
    tally.records += len(shard)
    for record in shard:
        if record.error is not None:
            tally.rejected += 1
            if len(tally.samples) < 10:
                tally.samples.append(record)
