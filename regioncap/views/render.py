"""Renders a record: draws its marks and makes its prompts; pure."""

from __future__ import annotations

import hashlib
from collections.abc import Sequence

import numpy as np
from numpy.typing import NDArray
from PIL import Image

from regioncap.errors import RecordError
from regioncap.job import Job
from regioncap.records import InputRecord, Problem, RenderedRecord
from regioncap.views import proposals, regions, view
from regioncap.views.boxes import Box, Size, scale_xyxy
from regioncap.views.pixels import decode, fit, fit_size
from regioncap.views.view import Limits

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
    rounds, cropped = view.plan(usable, job.settings, picture.size_wh)
    shown = [
        view.marked_view(rendered, chosen, canvas, job, round_)
        for round_, chosen in enumerate(rounds)
    ]
    shown += [
        view.crop_view(rendered, region, picture.pixels, job, limits.max_pixels)
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
