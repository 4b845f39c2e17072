"""Reads a job's results, and its pictures where they are needed, as a stream for exports."""

from __future__ import annotations

from collections.abc import Iterator
from functools import partial

from regioncap.errors import NotFoundError, RecordError
from regioncap.job import Job
from regioncap.jobs.results import read_with_inputs
from regioncap.outputs.exports.base import Encoded, Item
from regioncap.parallel import map_ahead
from regioncap.services.store import Store
from regioncap.views.pixels import decode, encode_jpeg, image_extension, is_turned

#: Pictures held at a time.
_AHEAD = 32


def read_items(store: Store, job: Job, *, pictures: bool) -> Iterator[Item]:
    """The results so far, in order.

    Args:
        store: Where they lie.
        job: The job.
        pictures: Whether to bring the pictures without marks.
    """
    items = (Item(result, given.source) for given, result in read_with_inputs(store, job))
    if not pictures:
        return items
    return map_ahead(partial(_with_picture, store), items, ahead=_AHEAD)


def _with_picture(store: Store, item: Item) -> Item:
    if item.source is None or item.record["error"] is not None:
        return item
    try:
        picture = upright(store.get_uri(item.source))
    except (NotFoundError, RecordError):
        return item  # a source of the user's own bucket may be gone or changed since
    return Item(item.record, item.source, picture)


def upright(data: bytes) -> Encoded:
    """The picture as it is, or, if EXIF would turn it, turned and encoded anew.

    Boxes count in the picture as shown, and not every reader of a data set obeys EXIF.

    Raises:
        RecordError: It cannot be read.
    """
    if is_turned(data):
        return Encoded(encode_jpeg(decode(data).image, quality=95), "jpg")
    return Encoded(data, image_extension(data))
