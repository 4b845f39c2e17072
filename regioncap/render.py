"""The render stage: from a shard's input part to marked pictures and its rendered part.

`render_record` is pure; `RenderStage` moves the bytes. Each record's failure is its own: what the
stage raises means that the shard could not be done at all and is to be tried again.
"""

from __future__ import annotations

import hashlib
from collections.abc import Callable, Sequence
from concurrent.futures import ThreadPoolExecutor
from dataclasses import dataclass

from PIL import Image

from regioncap import jobs, layout, marks, prompts, proposals, regions, retry
from regioncap.attempts import Quarantine
from regioncap.boxes import Box, Size, scale_xyxy, xyxy_from_xywh
from regioncap.errors import NotFoundError, RecordError
from regioncap.images import decode, encode_jpeg, fit, fit_size
from regioncap.jobs import Job
from regioncap.progress import Progress
from regioncap.queue import Sender
from regioncap.records import (
    InputRecord,
    Problem,
    PromptText,
    Region,
    RenderedRecord,
    View,
    dump_lines,
    load_lines,
)
from regioncap.retry import Again
from regioncap.settings import Settings
from regioncap.store import Store, parse_s3_uri


@dataclass(frozen=True, slots=True)
class Limits:
    """What a picture may be, and how large the model sees it."""

    max_pixels: int
    max_image_bytes: int
    max_image_pixels: int

    @classmethod
    def of(cls, settings: Settings) -> Limits:
        """The limits of a worker."""
        return cls(settings.max_pixels, settings.max_image_bytes, settings.max_image_pixels)


Rendered = tuple[RenderedRecord, list[tuple[str, bytes]]]


def render_record(record: InputRecord, data: bytes, job: Job, limits: Limits) -> Rendered:
    """Draws one record's marks and makes its prompts.

    Args:
        record: A record without an error.
        data: The encoded source picture.
        job: The job that it belongs to.
        limits: What a picture may be.

    Returns:
        The record for the caption stage, and (key, JPEG) for each picture.
    """
    rendered = RenderedRecord(**record.model_dump())
    rendered.type = "with_bbox" if record.bbox else "without_bbox"
    rendered.source_sha256 = hashlib.sha256(data).hexdigest()
    try:
        return rendered, _render(rendered, data, job, limits)
    except RecordError as error:
        rendered.error = Problem.of(error, "render")
        return rendered, []


def _render(
    rendered: RenderedRecord, data: bytes, job: Job, limits: Limits
) -> list[tuple[str, bytes]]:
    picture = decode(
        data,
        max_bytes=limits.max_image_bytes,
        max_pixels=limits.max_image_pixels,
        budget_pixels=limits.max_pixels,
    )
    rendered.width, rendered.height = picture.size_wh
    model_wh = fit_size(picture.size_wh, limits.max_pixels)
    canvas = fit(picture.pixels, model_wh)
    _find_regions(rendered, canvas, job, picture.size_wh)
    usable = [region for region in rendered.regions if region.status == "missing"]
    rendered.normalized_bbox = regions.normalized_rows(
        usable, picture.size_wh, job.settings.max_boxes
    )
    if not usable:
        raise RecordError(
            f"no box of the record can be used: {rendered.regions[0].why}", code="no-usable-box"
        )
    pictures = []
    size = job.settings.max_boxes
    for round_, start in enumerate(range(0, len(usable), size)):
        view, marked = _draw_view(rendered, usable[start : start + size], canvas, job, round_)
        rendered.views.append(view)
        pictures.append((view.key, encode_jpeg(marked)))
    return pictures


def _find_regions(rendered: RenderedRecord, canvas: Image.Image, job: Job, source_wh: Size) -> None:
    """Sets the record's boxes and regions: those given, or else proposed ones."""
    settings = job.settings
    if rendered.bbox:
        rendered.regions = regions.resolve(rendered.bbox, settings.box_format, source_wh)
        rendered.bbox = regions.boxes_as_xywh(rendered.bbox, rendered.regions, settings.box_format)
    else:
        found = proposals.propose(canvas, settings.max_boxes) or [(0, 0, *canvas.size)]
        boxes = [_to_source(box, canvas.size, source_wh) for box in found]
        rendered.bbox = [list(box) for box in boxes]
        rendered.regions = regions.resolve(boxes, "xywh", source_wh)
    if settings.overflow == "cut":
        for region in rendered.regions[settings.max_boxes :]:
            region.status = "skipped"
            region.why = f"beyond max_boxes = {settings.max_boxes}"


def _to_source(box_xywh: Sequence[float], model_wh: Size, source_wh: Size) -> Box:
    x, y, w, h = box_xywh
    x1, y1, x2, y2 = scale_xyxy((x, y, x + w, y + h), model_wh, source_wh)
    left, top = int(x1), int(y1)
    return left, top, max(1, round(x2) - left), max(1, round(y2) - top)


def _draw_view(
    rendered: RenderedRecord, shown: list[Region], canvas: Image.Image, job: Job, round_: int
) -> tuple[View, Image.Image]:
    style = marks.get(job.settings.mark_style)
    source_wh = (rendered.width or 0, rendered.height or 0)
    boxes = [_to_view(region, source_wh, canvas.size) for region in shown]
    numbers = [region.region for region in shown]
    drawn = style.layout(canvas.size, boxes, numbers)
    for region, mark in zip(shown, drawn, strict=True):
        region.colour = mark.colour
    labels = [
        prompts.RegionLabel(mark.number, mark.colour, box)
        for mark, box in zip(drawn, boxes, strict=True)
    ]
    prompt = prompts.build(job.template, labels, size_wh=canvas.size)
    view = View(
        key=layout.marked_key(job.job, rendered.index, f"-r{round_ + 1}" if round_ else ""),
        size_wh=canvas.size,
        numbers=numbers,
        boxes_xyxy=boxes,
        colours=[mark.colour for mark in drawn],
        prompt=PromptText.of(prompt),
        mark_style=style.name,
    )
    return view, style.draw(canvas, drawn)


def _to_view(region: Region, source_wh: Size, view_wh: Size) -> tuple[int, int, int, int]:
    """The region's box in the picture that the model sees: whole pixels, at least one."""
    box = region.bbox or (0, 0, 0, 0)
    x1, y1, x2, y2 = scale_xyxy(xyxy_from_xywh(box), source_wh, view_wh)
    left = min(int(x1), view_wh[0] - 1)
    top = min(int(y1), view_wh[1] - 1)
    right = min(max(round(x2), left + 1), view_wh[0])
    bottom = min(max(round(y2), top + 1), view_wh[1])
    return left, top, right, bottom


class RenderStage:
    """Runs the render stage of shards.

    Args:
        store: Where all lies.
        settings: Limits, and the buckets that may be read.
        sender: Asks for the next stage.
        progress: Gives the progress of a job.
        threads: Requests to the store at a time.
    """

    def __init__(
        self,
        store: Store,
        settings: Settings,
        sender: Sender,
        progress: Callable[[str], Progress],
        *,
        threads: int = 8,
    ) -> None:
        self._store = store
        self._sender = sender
        self._progress = progress
        self._limits = Limits.of(settings)
        self._buckets = {settings.s3_bucket, *settings.s3_source_buckets}
        self._pool = ThreadPoolExecutor(threads, thread_name_prefix="render-io")

    def run(self, job_id: str, shard: int, quarantine: Quarantine | None = None) -> str:
        """Does one shard and asks for its captions; returns what became of it, for the log.

        Args:
            job_id: The job.
            shard: The shard.
            quarantine: Runs the records one at a time, if given.
        """
        job = jobs.load(self._store, job_id)
        if self._store.exists(layout.cancelled_key(job_id)):
            return "cancelled"
        key = layout.rendered_key(job_id, shard)
        again = retry.find(self._store, job_id, shard)
        outcome = "already done"
        if again is not None or not self._store.exists(key):
            part = self._rendered(job, shard, again, quarantine)
            self._store.put(key, dump_lines(part), "application/x-ndjson")
            outcome = "done"
        self._progress(job_id).note_rendered(shard)
        self._sender.caption(job, [shard])
        return outcome

    def _rendered(
        self, job: Job, shard: int, again: Again | None, quarantine: Quarantine | None
    ) -> list[RenderedRecord]:
        """The shard's records, rendered; for a retry, those again that failed in this stage."""
        part = self._store.get(layout.input_key(job.job, shard))
        records = load_lines(InputRecord, part)
        known = self._store.find(layout.rendered_key(job.job, shard)) if again else None
        if again is None or known is None:
            return self._render(records, job, quarantine)
        before = load_lines(RenderedRecord, known)
        failed = {r.index for r in before if r.error is not None and r.error.stage == "render"}
        chosen = [record for record in records if record.index in failed & again.indices]
        done = {record.index: record for record in self._render(chosen, job, quarantine)}
        return [done.get(record.index, record) for record in before]

    def _render(
        self, records: Sequence[InputRecord], job: Job, quarantine: Quarantine | None
    ) -> list[RenderedRecord]:
        if quarantine is not None:
            return [self._alone(record, job, quarantine) for record in records]
        sources = [self._pool.submit(self._fetch, record) for record in records]
        done, uploads = [], []
        for record, source in zip(records, sources, strict=True):
            rendered, pictures = self._one(record, source.result(), job)
            done.append(rendered)
            uploads += [
                self._pool.submit(self._store.put, key, jpeg, "image/jpeg")
                for key, jpeg in pictures
            ]
        for upload in uploads:
            upload.result()
        return done

    def _alone(self, record: InputRecord, job: Job, quarantine: Quarantine) -> RenderedRecord:
        def work() -> RenderedRecord:
            return self._render([record], job, None)[0]

        def give_up(problem: Problem) -> RenderedRecord:
            return RenderedRecord(**record.model_dump() | {"error": problem})

        return quarantine.alone(record.index, work, give_up)

    def _one(self, record: InputRecord, source: bytes | RecordError, job: Job) -> Rendered:
        if record.error is not None:
            return RenderedRecord(**record.model_dump()), []
        if isinstance(source, RecordError):
            record.error = Problem.of(source, "render")
            return RenderedRecord(**record.model_dump()), []
        return render_record(record, source, job, self._limits)

    def _fetch(self, record: InputRecord) -> bytes | RecordError:
        """The source's bytes, or why this record has none."""
        if record.error is not None or record.source is None:
            return b""
        try:
            bucket, key = parse_s3_uri(record.source)
            if bucket not in self._buckets:
                return RecordError(f"bucket {bucket!r} may not be read", code="bucket-not-allowed")
            return self._store.get(key, bucket=bucket, limit_bytes=self._limits.max_image_bytes)
        except NotFoundError:
            return RecordError(f"there is no object {record.source}", code="image-missing")
        except ValueError as error:
            return RecordError(str(error), code="bad-image-uri")
