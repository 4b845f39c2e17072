"""Reads a job's results, and its pictures where they are needed, as a stream for exports."""

from __future__ import annotations

from collections.abc import Iterator
from concurrent.futures import ThreadPoolExecutor
from itertools import islice

from regioncap import keys
from regioncap.errors import NotFoundError, RecordError
from regioncap.job import Job
from regioncap.jobs.results import parse_part, read_parts
from regioncap.outputs.exports.base import Item, Picture
from regioncap.records import InputRecord, load_lines
from regioncap.services.store import Store, parse_s3_uri
from regioncap.views.pixels import decode, encode_jpeg, image_extension, is_turned

#: Pictures fetched at a time.
_THREADS = 8
#: Pictures held at a time.
_AHEAD = 32


def read_items(store: Store, job: Job, *, pictures: bool) -> Iterator[Item]:
    """The results so far, in order.

    Args:
        store: Where they lie.
        job: The job.
        pictures: Whether to bring the pictures without marks.
    """
    with ThreadPoolExecutor(_THREADS, thread_name_prefix="export") as pool:
        for shard, part in read_parts(store, job):
            inputs = load_lines(InputRecord, store.get(keys.input_key(job.job, shard)))
            items = (
                Item(record, given.source)
                for given, record in zip(inputs, parse_part(part), strict=True)
            )
            if not pictures:
                yield from items
                continue
            while batch := list(islice(items, _AHEAD)):
                yield from pool.map(lambda item: _with_picture(store, item), batch)


def _with_picture(store: Store, item: Item) -> Item:
    if item.source is None or item.record["error"] is not None:
        return item
    bucket, key = parse_s3_uri(item.source)
    try:
        picture = upright(store.get(key, bucket=bucket))
    except (NotFoundError, RecordError):
        return item  # a source of the user's own bucket may be gone or changed since
    return Item(item.record, item.source, picture)


def upright(data: bytes) -> Picture:
    """The picture as it is, or, if EXIF would turn it, turned and encoded anew.

    Boxes count in the picture as shown, and not every reader of a data set obeys EXIF.

    Raises:
        RecordError: It cannot be read.
    """
    if is_turned(data):
        return Picture(encode_jpeg(decode(data).image, quality=95), "jpg")
    return Picture(data, image_extension(data))
