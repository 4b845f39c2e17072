"""The gallery of a job: brings its pictures and writes the page."""

from __future__ import annotations

import re
from collections.abc import Callable, Iterator
from dataclasses import dataclass
from functools import partial
from pathlib import Path
from typing import Any

from regioncap.errors import NotFoundError, RecordError, UsageError
from regioncap.files import check_output, is_stream, make_folder, whole, written
from regioncap.job import Job
from regioncap.jobs import audits, catalogue
from regioncap.jobs.marked import Redrawn
from regioncap.jobs.results import read_with_inputs
from regioncap.outputs.audit import Auditor
from regioncap.outputs.gallery.page import (
    GalleryRecord,
    GallerySummary,
    file_url,
    write_gallery,
)
from regioncap.outputs.pages import data_url
from regioncap.parallel import map_ahead
from regioncap.records import InputRecord
from regioncap.services.store import Store
from regioncap.settings import Settings
from regioncap.views.pixels import MAX_PIXELS, decode, encode_jpeg
from regioncap.views.view import Limits

#: Pictures are shown at this size at most, in pixels.
_SHOWN_SIDE = 1280
_SHOWN_QUALITY = 85
#: Records whose pictures are held at a time.
_AHEAD = 32

#: How a page says which job it shows, and where at the latest.
_SHOWS = re.compile(rb'<meta name="regioncap-job" content="([0-9a-z-]+)">')
_HEAD_BYTES = 4096

#: Takes a file name and a JPEG, and says where the page finds the picture.
_Place = Callable[[str, bytes], str]


def write_view(
    store: Store,
    job: Job,
    page: Path,
    original: Callable[[str], bytes],
    *,
    limits: Limits | None = None,
    embed: bool = False,
    replace: bool = False,
    on_record: Callable[[], None] = lambda: None,
) -> int:
    """Writes the gallery of the results so far.

    Args:
        store: Where the results and pictures lie.
        job: The job.
        page: The HTML file to write; pictures go into a folder beside it.
        original: Brings a source by its s3:// name, or raises RecordError.
        limits: As the render workers have them, for pictures that are not kept.
        embed: Whether the page holds its pictures in itself.
        replace: Whether the page of another job may be replaced.
        on_record: Called for each record.

    Returns:
        How many records it shows.

    Raises:
        UsageError: The page of another job is there (`output-exists`), or it cannot be written
            (`bad-output`).
    """
    if not replace:
        _check_own(page, job)
    make_folder(page.parent)
    check_output(page)
    pictures = page.with_name(f"{page.stem}_files")
    if not embed:
        make_folder(pictures)
    place = _embedded if embed else partial(_saved, pictures, page.parent)
    facts = {"job": job.job, "submitted": f"{job.created:%Y-%m-%d %H:%M} UTC", "from": job.source}
    success = catalogue.find_success(store, job.job)
    audit = audits.kept(store, job.job, success) if success else None
    if audit is not None:
        facts["audit"] = audit.line()
    count = 0

    def counted() -> Iterator[GalleryRecord]:
        nonlocal count
        for record in _records(store, job, original, place, limits):
            count += 1
            on_record()
            yield record

    with (
        written(page),
        whole(page) as temporary,
        temporary.open("w", encoding="utf-8") as out,
    ):
        write_gallery(out, counted(), GallerySummary(job.name or job.job, facts, job.job))
    return count


@dataclass(frozen=True, slots=True)
class Viewed:
    """A page that was written."""

    path: Path
    #: Records that it shows, and those that the job has.
    records: int
    of: int


def page_name(job: Job) -> Path:
    """The page of a job where the user names none: no two jobs have the same."""
    return Path(f"gallery-{job.job}.html")


def _check_own(page: Path, job: Job) -> None:
    """Returns unless a page shows another job."""
    if is_stream(page):  # which nobody may answer
        return
    try:
        with page.open("rb") as file:
            found = _SHOWS.search(file.read(_HEAD_BYTES))
    except OSError:
        return  # there is none; or writing it says what is wrong
    if found and found[1].decode() != job.job:
        raise UsageError(
            f"{page} shows job {found[1].decode()}",
            code="output-exists",
            hint=f"name another page with -o, or none for {page_name(job)}",
        )


def _embedded(_: str, jpeg: bytes) -> str:
    return data_url(jpeg)


def _saved(folder: Path, page_dir: Path, name: str, jpeg: bytes) -> str:
    (folder / name).write_bytes(jpeg)
    return file_url(folder / name, page_dir)


def _records(
    store: Store,
    job: Job,
    original: Callable[[str], bytes],
    place: _Place,
    limits: Limits | None,
) -> Iterator[GalleryRecord]:
    auditor = Auditor(job)
    limits = limits or Limits.of(Settings())
    redrawn = None if job.settings.keep_marked else Redrawn(store, job, limits, original)
    max_pixels = limits.max_image_pixels
    pairs = ((given, auditor.annotated(result)) for given, result in read_with_inputs(store, job))
    return map_ahead(
        lambda pair: _record(store, original, *pair, place, redrawn=redrawn, max_pixels=max_pixels),
        pairs,
        ahead=_AHEAD,
    )


def _record(
    store: Store,
    original: Callable[[str], bytes],
    given: InputRecord,
    result: dict[str, Any],
    place: _Place,
    *,
    redrawn: Redrawn | None,
    max_pixels: int,
) -> GalleryRecord:
    clean_jpeg = _clean(original, given, max_pixels)
    if redrawn is not None and result["error"] is None:
        marked_jpeg = redrawn.first(given)
    else:
        marked_jpeg = _object(store, result["image_with_bbox"])
    name = f"{given.index:08d}"
    return GalleryRecord(
        result,
        clean=place(f"{name}.jpg", clean_jpeg) if clean_jpeg else None,
        marked=place(f"{name}-marked.jpg", marked_jpeg) if marked_jpeg else None,
    )


def _clean(original: Callable[[str], bytes], given: InputRecord, max_pixels: int) -> bytes | None:
    """The source as it is shown; None where there is none."""
    if given.source is None:
        return None
    try:
        return shown_jpeg(original(given.source), max_pixels=max_pixels)
    except RecordError:
        return None


def shown_jpeg(data: bytes, side: int | None = None, *, max_pixels: int = MAX_PIXELS) -> bytes:
    """A source upright and at the size in which it is shown.

    Args:
        data: An encoded picture; how many bytes it may have is the matter of who brought it.
        side: Most pixels of the longer side; by default as in the gallery.
        max_pixels: Most pixels that the picture may have.

    Raises:
        RecordError: It cannot be decoded.
    """
    side = side or _SHOWN_SIDE
    image = decode(data, max_bytes=len(data), max_pixels=max_pixels, budget_pixels=side**2).image
    image.thumbnail((side, side))
    return encode_jpeg(image, _SHOWN_QUALITY)


def _object(store: Store, uri: str | None) -> bytes | None:
    try:
        return store.get_uri(uri) if uri else None
    except NotFoundError:
        return None
