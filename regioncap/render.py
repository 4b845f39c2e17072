"""The render stage: from a shard's input part to marked pictures and its rendered part.

`render_record` is pure; `RenderStage` moves the bytes. Each record's failure is its own: what the
stage raises means that the shard could not be done at all and is to be tried again.
"""

from __future__ import annotations

import hashlib
from collections.abc import Callable, Sequence
from concurrent.futures import ThreadPoolExecutor

import numpy as np
from numpy.typing import NDArray
from PIL import Image

from regioncap import jobs, layout, proposals, regions, retry, views
from regioncap.attempts import Quarantine
from regioncap.boxes import Box, Size, scale_xyxy
from regioncap.errors import RecordError
from regioncap.images import decode, fit, fit_size
from regioncap.jobs import Job
from regioncap.originals import Originals
from regioncap.progress import Progress
from regioncap.queue import Sender
from regioncap.records import (
    InputRecord,
    Problem,
    RenderedRecord,
    dump_lines,
    load_lines,
)
from regioncap.retry import Again
from regioncap.settings import Settings
from regioncap.store import Store
from regioncap.views import Limits

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
        # Crops are cut from all the pixels that there are.
        budget_pixels=limits.max_pixels if job.settings.region_mode == "marks" else None,
    )
    rendered.width, rendered.height = picture.size_wh
    canvas = fit(picture.pixels, fit_size(picture.size_wh, limits.max_pixels))
    _find_regions(rendered, canvas, job, picture.size_wh)
    usable = [region for region in rendered.regions if region.status == "missing"]
    rendered.normalized_bbox = regions.normalized_rows(
        usable, picture.size_wh, job.settings.max_boxes
    )
    if not usable:
        raise RecordError(
            f"no box of the record can be used: {rendered.regions[0].why}", code="no-usable-box"
        )
    rounds, cropped = views.plan(usable, job.settings, picture.size_wh)
    shown = [
        views.marked_view(rendered, chosen, canvas, job, round_)
        for round_, chosen in enumerate(rounds)
    ]
    shown += [
        views.crop_view(rendered, region, picture.pixels, job, limits.max_pixels)
        for region in cropped
    ]
    rendered.views = [view for view, _ in shown]
    return [(view.key, jpeg) for view, jpeg in shown]


def _find_regions(
    rendered: RenderedRecord, canvas: NDArray[np.uint8], job: Job, source_wh: Size
) -> None:
    """Sets the record's boxes and regions: those given, or else proposed ones."""
    settings = job.settings
    if rendered.bbox:
        rendered.regions = regions.resolve(rendered.bbox, settings.box_format, source_wh)
        rendered.bbox = regions.boxes_as_xywh(rendered.bbox, rendered.regions, settings.box_format)
    else:
        image = Image.fromarray(canvas)
        found = proposals.propose(image, settings.max_boxes) or [(0, 0, *image.size)]
        boxes = [_to_source(box, image.size, source_wh) for box in found]
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
        self._originals = Originals(store, settings)
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
        records = self._submitted(job, shard)
        known = self._store.find(layout.rendered_key(job.job, shard)) if again else None
        if again is None or known is None:
            return self._render(records, job, quarantine)
        before = load_lines(RenderedRecord, known)
        failed = {r.index for r in before if r.error is not None and r.error.stage == "render"}
        chosen = [record for record in records if record.index in failed & again.indices]
        done = {record.index: record for record in self._render(chosen, job, quarantine)}
        return [done.get(record.index, record) for record in before]

    def _submitted(self, job: Job, shard: int) -> list[InputRecord]:
        """The shard's records; should their part be gone, each of them says so."""
        part = self._store.find(layout.input_key(job.job, shard))
        if part is not None:
            return load_lines(InputRecord, part)
        gone = Problem(
            code="input-lost",
            message=f"{layout.input_key(job.job, shard)} is gone from the store (submit it again)",
            stage="render",
        )
        return [
            InputRecord(index=index, line=index + 1, error=gone)
            for index in job.shard_records(shard)
        ]

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
        if record.error is not None:
            return b""
        try:
            return self._originals.read(record)
        except RecordError as error:
            return error
