"""Renders a record: draws its marks and makes its prompts; pure."""

from __future__ import annotations

import hashlib

import numpy as np
from numpy.typing import NDArray
from PIL import Image

from regioncap.errors import RecordError
from regioncap.records import InputRecord, Problem, RenderedRecord
from regioncap.settings import JobSettings
from regioncap.views import proposals, regions
from regioncap.views.boxes import Box, Size
from regioncap.views.pixels import decode, fit
from regioncap.views.sizes import fit_size
from regioncap.views.view import Shown, ViewSettings, crop_view, marked_view, plan

#: A record for the caption stage, and the key and JPEG of each of its pictures.
Rendered = tuple[RenderedRecord, list[tuple[str, bytes]]]

#: As fractions of the sides.
_WHOLE_PICTURE: Box = (0.0, 0.0, 1.0, 1.0)


def render_record(record: InputRecord, data: bytes, how: ViewSettings) -> Rendered:
    """Draws one record's marks and makes its prompts.

    Args:
        record: A record without an error.
        data: The encoded source picture.
        how: How regions are shown.
    """
    rendered = RenderedRecord.of(record)
    rendered.type = "with_bbox" if record.bbox else "without_bbox"
    rendered.source_sha256 = hashlib.sha256(data).hexdigest()
    try:
        shown = _show(rendered, data, how)
    except RecordError as error:
        rendered.error = Problem.of(error, "render")
        return rendered, []
    rendered.views = [view for view, _ in shown]
    return rendered, [(view.key, jpeg) for view, jpeg in shown]


def _show(rendered: RenderedRecord, data: bytes, how: ViewSettings) -> list[Shown]:
    """The views of a record, whose size and regions are set on the way."""
    settings, limits = how.settings, how.limits
    picture = decode(
        data,
        max_bytes=limits.max_image_bytes,
        max_pixels=limits.max_image_pixels,
        # Crops are cut from all the pixels that there are.
        budget_pixels=limits.max_pixels if settings.region_mode == "marks" else None,
    )
    rendered.width, rendered.height = picture.size_wh
    canvas = fit(picture.pixels, fit_size(picture.size_wh, limits.max_pixels))
    _find_regions(rendered, canvas, settings, picture.size_wh)
    usable = [region for region in rendered.regions if region.is_asked_for]
    rendered.normalized_bbox = regions.normalized_rows(usable, picture.size_wh, settings.max_boxes)
    if not usable:
        raise RecordError(
            f"no box of the record can be used: {rendered.regions[0].why}", code="no-usable-box"
        )
    rounds, cropped = plan(usable, settings, picture.size_wh)
    marked = [
        marked_view(rendered, chosen, canvas, how, round_) for round_, chosen in enumerate(rounds)
    ]
    return marked + [crop_view(rendered, region, picture.pixels, how) for region in cropped]


def _find_regions(
    rendered: RenderedRecord, canvas: NDArray[np.uint8], settings: JobSettings, source_wh: Size
) -> None:
    """Sets the record's boxes and regions: those given, or else proposed ones."""
    if rendered.bbox:
        rendered.regions = regions.resolve(rendered.bbox, settings.box_format, source_wh)
        rendered.bbox = regions.boxes_as_xywh(rendered.bbox, rendered.regions, settings.box_format)
    else:
        found = proposals.propose(Image.fromarray(canvas), settings.max_boxes)
        rendered.regions = regions.proposed(found or [_WHOLE_PICTURE], source_wh)
        rendered.bbox = [list(region.bbox) for region in rendered.regions if region.bbox]
    if settings.overflow == "cut":
        for region in rendered.regions[settings.max_boxes :]:
            region.status = "skipped"
            region.why = f"beyond max_boxes = {settings.max_boxes}"
