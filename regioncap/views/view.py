"""Views: the pictures of a record that an engine gets, each with its prompt; pure.

A view shows several regions by marks on the whole picture, or one region by a crop of it.
"""

from __future__ import annotations

from collections.abc import Sequence
from dataclasses import dataclass, replace

import numpy as np
from numpy.typing import NDArray

from regioncap import keys
from regioncap.job import BoxUnit, Grid, Job
from regioncap.records import Prompt, Region, RegionInView, RenderedRecord, View
from regioncap.settings import JobSettings, Settings
from regioncap.views import crops, marks, prompts
from regioncap.views.boxes import Size, area_xyxy, pixel_rect, scale_xyxy
from regioncap.views.pixels import decode, encode_jpeg, size_of
from regioncap.views.region_schema import RegionSchema
from regioncap.views.rounds import split
from regioncap.views.sizes import CELL_PX

#: A view and its picture, encoded.
Shown = tuple[View, bytes]


@dataclass(frozen=True, slots=True)
class Limits:
    """What a picture may be, and how large the model sees it."""

    max_pixels: int
    max_image_bytes: int
    max_image_pixels: int
    #: Side of the square of pixels behind one of the model's tokens.
    cell_px: int = CELL_PX
    #: How the model speaks of places.
    box_unit: BoxUnit = "pixels"

    @classmethod
    def of(cls, settings: Settings) -> Limits:
        """The limits of a worker."""
        return cls(settings.max_pixels, settings.max_image_bytes, settings.max_image_pixels)

    def on(self, grid: Grid) -> Limits:
        """The same for a model that takes pictures so."""
        return replace(
            self,
            max_pixels=grid.max_pixels or self.max_pixels,
            cell_px=grid.cell_px,
            box_unit=grid.box_unit,
        )


@dataclass(frozen=True, slots=True)
class ViewSettings:
    """What decides, besides the record, how its regions are shown and what is asked about them."""

    #: Begins the keys of pictures and the names of requests: the job's id.
    name: str
    settings: JobSettings
    template: prompts.Template
    limits: Limits
    #: Which fields are asked for of each region beside its caption; None for none.
    schema: RegionSchema | None = None

    def prompt(
        self, regions: Sequence[RegionInView], *, size_wh: Size, ask: prompts.Ask = "regions"
    ) -> Prompt:
        """What is asked about some regions of a picture; see `prompts.build`."""
        return prompts.build(
            self.template,
            regions,
            ask=ask,
            size_wh=size_wh,
            schema=self.schema,
            box_unit=self.limits.box_unit,
        )

    @classmethod
    def of(cls, job: Job, limits: Limits, grid: Grid | None = None) -> ViewSettings:
        """Those of a job.

        Args:
            job: The job.
            limits: The worker's.
            grid: What pictures are made for, if not what the job says.
        """
        grid = grid or job.grid
        template = prompts.template_of(job.settings.prompt, job.prompt_template)
        template = prompts.without(template, grid.placeholders)
        return cls(job.job, job.settings, template, limits.on(grid), job.region_schema)


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
    rounds = split([region.box_xyxy for region in marked], settings.max_boxes)
    return [[marked[i] for i in positions] for positions in rounds], cropped


def _is_for_crop(region: Region, settings: JobSettings, source_wh: Size) -> bool:
    if settings.region_mode == "marks+crop":
        share = area_xyxy(region.box_xyxy) / (source_wh[0] * source_wh[1])
        return share < settings.crop_below
    return settings.region_mode == "crop"


def marked_view(
    record: RenderedRecord,
    chosen: Sequence[Region],
    canvas: NDArray[np.uint8],
    how: ViewSettings,
    round_: int,
) -> Shown:
    """The whole picture with some regions marked.

    Args:
        record: The record; its size is known.
        chosen: The regions; each gets the name of its mark's colour.
        canvas: The picture without marks, (height, width, 3), RGB, at the size that the model sees.
        how: How regions are shown.
        round_: Which marked picture of the record it is, from 0.
    """
    style, view_wh = marks.get(how.settings.mark_style), size_of(canvas)
    boxes = [
        pixel_rect(scale_xyxy(region.box_xyxy, source_wh(record), view_wh), view_wh)
        for region in chosen
    ]
    drawn = style.layout(view_wh, boxes, [region.region for region in chosen])
    for region, mark in zip(chosen, drawn, strict=True):
        region.colour = mark.colour
    shown = [RegionInView(mark.number, mark.box_xyxy, mark.colour) for mark in drawn]
    view = View(
        key=keys.marked_key(how.name, record.index, f"-r{round_ + 1}" if round_ else ""),
        size_wh=view_wh,
        regions=shown,
        prompt=how.prompt(shown, size_wh=view_wh),
        mark_style=style.name,
    )
    return view, encode_jpeg(style.draw(canvas, drawn))


def crop_view(
    record: RenderedRecord, region: Region, source: NDArray[np.uint8], how: ViewSettings
) -> Shown:
    """One region cut out, without marks.

    Args:
        record: The record; its size is known.
        region: The region.
        source: The oriented picture without marks, (height, width, 3), RGB, of any size.
        how: How regions are shown.
    """
    box = scale_xyxy(region.box_xyxy, source_wh(record), size_of(source))
    crop, box_in_crop = crops.cut(source, box, how.limits.max_pixels, how.limits.cell_px)
    shown = [RegionInView(region.region, box_in_crop)]
    view = View(
        key=keys.marked_key(how.name, record.index, f"-c{region.region}"),
        size_wh=crop.size,
        regions=shown,
        prompt=how.prompt(shown, ask="crop", size_wh=crop.size),
    )
    return view, encode_jpeg(crop)


def whole_view(record: RenderedRecord, canvas: NDArray[np.uint8], how: ViewSettings) -> Shown:
    """The picture as a whole, without marks.

    Args:
        record: The record.
        canvas: The picture, (height, width, 3), RGB, at the size that the model sees.
        how: How pictures are shown.
    """
    size_wh = size_of(canvas)
    view = View(
        key=keys.marked_key(how.name, record.index, "-w"),
        size_wh=size_wh,
        regions=[],
        prompt=how.prompt([], ask="image", size_wh=size_wh),
    )
    return view, encode_jpeg(canvas)


def crop_regions(
    record: RenderedRecord, chosen: Sequence[Region], data: bytes, how: ViewSettings
) -> list[Shown]:
    """Cuts some regions out of the source of a record that is rendered.

    Args:
        record: The record.
        chosen: Regions with a box.
        data: The encoded source picture.
        how: How regions are shown.

    Raises:
        RecordError: The source can no longer be used.
    """
    picture = decode(
        data, max_bytes=how.limits.max_image_bytes, max_pixels=how.limits.max_image_pixels
    )
    return [crop_view(record, region, picture.pixels, how) for region in chosen]


def source_wh(record: RenderedRecord) -> Size:
    """Size of the oriented source of a record that was rendered."""
    return record.width or 0, record.height or 0
