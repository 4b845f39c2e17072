"""Renders a record: draws its marks and makes its prompts; pure."""

from __future__ import annotations

import hashlib

import numpy as np
from numpy.typing import NDArray
from PIL import Image

from regioncap.errors import RecordError
from regioncap.records import InputRecord, Problem, RenderedRecord
from regioncap.settings import JobSettings
from regioncap.views import declared, proposals, regions
from regioncap.views.boxes import Box, xywh_from_xyxy
from regioncap.views.pixels import Picture, decode, fit
from regioncap.views.sizes import CELL_PX, fit_size
from regioncap.views.view import Shown, ViewSettings, crop_view, marked_view, plan, whole_view

#: A record for the caption stage, and the key and JPEG of each of its pictures.
Rendered = tuple[RenderedRecord, list[tuple[str, bytes]]]

#: Pixels of the picture in which regions are looked for: those of the default model's.
_LOOKED_AT_PX = 1280 * CELL_PX**2
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
    rendered.type = "without_bbox" if record.bbox is None else "with_bbox"
    rendered.source_sha256 = hashlib.sha256(data).hexdigest()
    try:
        shown, whole = _show(rendered, data, how)
    except RecordError as error:
        rendered.error = Problem.of(error, "render")
        return rendered, []
    rendered.views = [view for view, _ in shown]
    if whole is not None:
        rendered.whole = whole[0]
        shown.append(whole)
    return rendered, [(view.key, jpeg) for view, jpeg in shown]


def _show(
    rendered: RenderedRecord, data: bytes, how: ViewSettings
) -> tuple[list[Shown], Shown | None]:
    """The views of a record and of its whole picture; its size and regions are set on the way."""
    settings, limits = how.settings, how.limits
    picture = decode(
        data,
        max_bytes=limits.max_image_bytes,
        max_pixels=limits.max_image_pixels,
        # Crops are cut from all the pixels that there are.
        budget_pixels=limits.max_pixels if settings.region_mode == "marks" else None,
        cell_px=limits.cell_px,
    )
    rendered.width, rendered.height = picture.size_wh
    view_wh = fit_size(picture.size_wh, limits.max_pixels, limits.cell_px)
    canvas = fit(picture.pixels, view_wh)
    _find_regions(rendered, data, how, picture)
    whole = whole_view(rendered, canvas, how) if settings.image_caption else None
    usable = [region for region in rendered.regions if region.is_asked_for]
    rendered.normalized_bbox = regions.normalized_rows(usable, picture.size_wh, settings.max_boxes)
    if all(region.status == "skipped" for region in rendered.regions):
        return [], whole  # none was given, or none is wanted: that is no error
    if not usable:
        raise RecordError(
            f"no box of the record can be used: {rendered.regions[0].why}", code="no-usable-box"
        )
    rounds, cropped = plan(usable, settings, picture.size_wh)
    marked = [
        marked_view(rendered, chosen, canvas, how, round_) for round_, chosen in enumerate(rounds)
    ]
    crops = [crop_view(rendered, region, picture.pixels, how) for region in cropped]
    return marked + crops, whole


def _find_regions(
    rendered: RenderedRecord, data: bytes, how: ViewSettings, picture: Picture
) -> None:
    """Sets the record's boxes and regions: those given, or else proposed ones."""
    settings = how.settings
    if rendered.bbox is not None:
        _resolve(rendered, settings, picture)
    else:
        looked_at = Image.fromarray(_looked_at(data, how))
        found = proposals.propose(looked_at, settings.max_boxes)
        rendered.regions = regions.proposed(found or [_WHOLE_PICTURE], picture.size_wh)
        rendered.bbox = [list(region.bbox) for region in rendered.regions if region.bbox]
    if settings.overflow == "cut":
        for region in rendered.regions[settings.max_boxes :]:
            region.status = "skipped"
            region.why = f"beyond max_boxes = {settings.max_boxes}"


def _looked_at(data: bytes, how: ViewSettings) -> NDArray[np.uint8]:
    """The picture as regions are looked for in it: the same whatever model is to see it.

    A job may be drawn anew for another model, and its regions are to stay as they are.
    """
    picture = decode(
        data,
        max_bytes=how.limits.max_image_bytes,
        max_pixels=how.limits.max_image_pixels,
        budget_pixels=_LOOKED_AT_PX,
    )
    return fit(picture.pixels, fit_size(picture.size_wh, _LOOKED_AT_PX))


def _resolve(rendered: RenderedRecord, settings: JobSettings, picture: Picture) -> None:
    """Sets the regions of the boxes given, in pixels of the picture as shown."""
    given, box_format = rendered.bbox or [], rendered.box_format or settings.box_format
    counted_wh = declared.counted_size(
        rendered.declared_wh, picture.size_wh, picture.orientation, settings.boxes_of
    )
    rendered.regions = regions.resolve(given, box_format, counted_wh)
    if counted_wh != picture.size_wh:
        for region in rendered.regions:
            if region.bbox is not None:
                shown = declared.as_shown(
                    region.box_xyxy, counted_wh, picture.size_wh, picture.orientation
                )
                region.bbox = regions.rounded(xywh_from_xyxy(shown))
    as_given = box_format == "xywh" and counted_wh == picture.size_wh
    rendered.bbox = list(given) if as_given else regions.boxes_as_xywh(given, rendered.regions)
    if settings.skip_crowd:
        _skip_crowd(rendered)


def _skip_crowd(rendered: RenderedRecord) -> None:
    crowd = rendered.meta.get("iscrowd")
    if isinstance(crowd, list) and len(crowd) == len(rendered.regions):
        for region, is_crowd in zip(rendered.regions, crowd, strict=True):
            if is_crowd:
                region.status, region.why = "skipped", "a crowd, left out by skip_crowd"
