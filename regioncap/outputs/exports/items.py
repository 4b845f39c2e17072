"""Reads a job's results, and its pictures where they are needed, as a stream for exports."""

from __future__ import annotations

from collections.abc import Callable, Iterable, Iterator, Mapping
from dataclasses import replace
from functools import partial
from pathlib import PurePosixPath
from typing import Any

from regioncap.errors import RecordError
from regioncap.job import Job
from regioncap.jobs.results import read_with_inputs
from regioncap.outputs.exports.base import Encoded, Item, Pictures, has_caption
from regioncap.parallel import map_ahead
from regioncap.services.store import Store
from regioncap.views.formats import extension_of, is_shown
from regioncap.views.pixels import MAX_PIXELS, decode, encode_jpeg, is_turned

#: Endings of the pictures that browsers show.
_SHOWN = {".jpg", ".jpeg", ".png", ".webp", ".gif", ".avif", ".bmp", ".ico"}
#: Pictures held at a time.
_AHEAD = 32


def only_verified(items: Iterable[Item]) -> Iterator[Item]:
    """The same with captions that were not found true of their region left out, with the reason."""
    for item in items:
        regions = [_checked(region) for region in item.record["regions"]]
        yield replace(item, record={**item.record, "regions": regions})


def _checked(region: Mapping[str, Any]) -> Mapping[str, Any]:
    if region["caption"] is None or region.get("verified"):
        return region
    named = region.get("verified_as") or "none"
    why = "not verified" if region.get("verified") is None else f"verified as {named}"
    return {**region, "status": "invalid", "caption": None, "attributes": None, "why": why}


def read_items(
    store: Store,
    job: Job,
    original: Callable[[str], bytes],
    pictures: Pictures = "all",
    max_pixels: int = MAX_PIXELS,
) -> Iterator[Item]:
    """The results so far, in order.

    Args:
        store: Where they lie.
        job: The job.
        original: Brings a picture without marks by its s3:// name, or raises RecordError.
        pictures: Which of them are brought.
        max_pixels: Most pixels of one of them.
    """
    items = (Item(result, given.source) for given, result in read_with_inputs(store, job))
    if pictures == "none":
        return items
    bring = partial(_with_picture, original, pictures, max_pixels)
    return map_ahead(bring, items, ahead=_AHEAD)


def _with_picture(
    original: Callable[[str], bytes], pictures: Pictures, max_pixels: int, item: Item
) -> Item:
    if item.source is None:
        return item
    if pictures == "unshown":
        # Those of failed records among them: someone looks at them, and writes what is missing.
        if PurePosixPath(item.source).suffix.lower() in _SHOWN:
            return item
    elif item.record["error"] is not None and not has_caption(item.record):
        return item
    try:
        picture = upright(original(item.source), max_pixels)
    except RecordError:
        # A source of the user's own bucket may be gone or changed since, and an altered part may
        # name any.
        return item
    return Item(item.record, item.source, picture)


def upright(data: bytes, max_pixels: int = MAX_PIXELS) -> Encoded:
    """The picture as it is, or, if EXIF would turn it or browsers would not show it, a JPEG of it.

    Boxes count in the picture as shown, and not every reader of a data set obeys EXIF.

    Args:
        data: A picture of the user's; how many bytes it may have is the matter of who brought it.
        max_pixels: The most that it may have.

    Raises:
        RecordError: It cannot be read.
    """
    if not is_shown(data) or is_turned(data, max_pixels):
        picture = decode(data, max_bytes=len(data), max_pixels=max_pixels)
        return Encoded(encode_jpeg(picture.image, quality=95), "jpg")
    return Encoded(data, extension_of(data))
