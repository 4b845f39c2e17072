"""Views: the pictures of a record that an engine gets, each with its prompt; pure.

A view shows several regions by marks on the whole picture, or one region by a crop of it.
"""

from __future__ import annotations

from collections.abc import Sequence
from dataclasses import dataclass

import numpy as np
from numpy.typing import NDArray

from regioncap import keys
from regioncap.job import Job
from regioncap.records import Region, RenderedRecord, View
from regioncap.settings import JobSettings, Settings
from regioncap.views import crops, marks, prompts
from regioncap.views.boxes import Size, area_xyxy, scale_xyxy, xyxy_from_xywh
from regioncap.views.marks.base import Rect
from regioncap.views.pixels import decode, encode_jpeg, size_of
from regioncap.views.rounds import split

#: A view and its picture, encoded.
Shown = tuple[View, bytes]


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


def plan(
    regions: Sequence[Region], settings: JobSettings, source_wh: Size
) -> tuple[list[list[Region]], list[Region]]:
    """Decides which regions are shown together by marks, and which alone by a crop.

    Args:
        regions: Those with a usable box.
        settings: The job's.
        source_wh: Size of the oriented source, pixels.

    Returns:
        The rounds of marked pictures, and the regions to crop; each region is in one of them.
    """
    cropped = [region for region in regions if _is_for_crop(region, settings, source_wh)]
    chosen = {region.region for region in cropped}
    marked = [region for region in regions if region.region not in chosen]
    rounds = split([xyxy_from_xywh(box_of(region)) for region in marked], settings.max_boxes)
    return [[marked[i] for i in positions] for positions in rounds], cropped


def _is_for_crop(region: Region, settings: JobSettings, source_wh: Size) -> bool:
    if settings.region_mode == "marks+crop":
        share = area_xyxy(xyxy_from_xywh(box_of(region))) / (source_wh[0] * source_wh[1])
        return share < settings.crop_below
    return settings.region_mode == "crop"


def marked_view(
    record: RenderedRecord,
    shown: Sequence[Region],
    canvas: NDArray[np.uint8],
    job: Job,
    round_: int,
) -> Shown:
    """The whole picture with some regions marked.

    Args:
        record: The record; its size is known.
        shown: The regions; each gets the name of its mark's colour.
        canvas: The picture without marks, (height, width, 3), RGB, at the size that the model sees.
        job: The job.
        round_: Which marked picture of the record it is, from 0.
    """
    style = marks.get(job.settings.mark_style)
    view_wh = size_of(canvas)
    boxes = [_in_view(box_of(region), source_wh(record), view_wh) for region in shown]
    numbers = [region.region for region in shown]
    drawn = style.layout(view_wh, boxes, numbers)
    for region, mark in zip(shown, drawn, strict=True):
        region.colour = mark.colour
    labels = [
        prompts.RegionLabel(mark.number, mark.colour, box)
        for mark, box in zip(drawn, boxes, strict=True)
    ]
    prompt = prompts.build(
        prompts.template_of(job.settings.prompt, job.prompt_template), labels, size_wh=view_wh
    )
    view = View(
        key=keys.marked_key(job.job, record.index, f"-r{round_ + 1}" if round_ else ""),
        size_wh=view_wh,
        numbers=numbers,
        boxes_xyxy=boxes,
        colours=[mark.colour for mark in drawn],
        prompt=prompt,
        mark_style=style.name,
    )
    return view, encode_jpeg(style.draw(canvas, drawn))


def crop_view(
    record: RenderedRecord, region: Region, source: NDArray[np.uint8], job: Job, max_pixels: int
) -> Shown:
    """One region cut out, without marks.

    Args:
        record: The record; its size is known.
        region: The region.
        source: The oriented picture without marks, (height, width, 3), RGB, of any size.
        job: The job.
        max_pixels: What the model sees of a picture at most.
    """
    box = scale_xyxy(xyxy_from_xywh(box_of(region)), source_wh(record), size_of(source))
    crop, box_in_crop = crops.cut(source, box, max_pixels)
    label = prompts.RegionLabel(region.region, "", box_in_crop)
    prompt = prompts.build(
        prompts.template_of(job.settings.prompt, job.prompt_template),
        [label],
        ask="crop",
        size_wh=crop.size,
    )
    view = View(
        key=keys.marked_key(job.job, record.index, f"-c{region.region}"),
        size_wh=crop.size,
        numbers=[region.region],
        boxes_xyxy=[box_in_crop],
        colours=[""],
        prompt=prompt,
    )
    return view, encode_jpeg(crop)


def crop_regions(
    record: RenderedRecord, chosen: Sequence[Region], data: bytes, job: Job, limits: Limits
) -> list[Shown]:
    """Cuts some regions out of the source of a record that is rendered.

    Args:
        record: The record.
        chosen: Regions with a box.
        data: The encoded source picture.
        job: The job.
        limits: What a picture may be.

    Raises:
        RecordError: The source can no longer be used.
    """
    picture = decode(data, max_bytes=limits.max_image_bytes, max_pixels=limits.max_image_pixels)
    return [crop_view(record, region, picture.pixels, job, limits.max_pixels) for region in chosen]


def source_wh(record: RenderedRecord) -> Size:
    """Size of the oriented source of a record that was rendered."""
    return record.width or 0, record.height or 0


def box_of(region: Region) -> tuple[float, float, float, float]:
    """The box of a region that has one, xywh in pixels of the source."""
    if region.bbox is None:
        raise ValueError(f"region {region.region} has no box")
    return region.bbox


def _in_view(box_xywh: tuple[float, float, float, float], from_wh: Size, view_wh: Size) -> Rect:
    """The box in the picture that the model sees: whole pixels, at least one."""
    x1, y1, x2, y2 = scale_xyxy(xyxy_from_xywh(box_xywh), from_wh, view_wh)
    left = min(int(x1), view_wh[0] - 1)
    top = min(int(y1), view_wh[1] - 1)
    right = min(max(round(x2), left + 1), view_wh[0])
    bottom = min(max(round(y2), top + 1), view_wh[1])
    return left, top, right, bottom
