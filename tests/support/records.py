"""Jobs and records for tests of the stages' pure parts."""

from __future__ import annotations

import io
from typing import Any

from PIL import Image

from regioncap.job import Job, now
from regioncap.records import InputRecord
from regioncap.settings import JobSettings
from regioncap.views.view import Limits, ViewSettings

LIMITS = Limits(max_pixels=1_003_520, max_image_bytes=10_000_000, max_image_pixels=100_000_000)


def make_job(prompt_template: str = "", **settings: Any) -> Job:
    """A job that lies in no store."""
    return Job(
        job="20261124-000000-aaaaaa",
        created=now(),
        records=1,
        shards=1,
        settings=JobSettings.model_validate(settings),
        prompt_template=prompt_template,
    )


def view_settings(**settings: Any) -> ViewSettings:
    """How a job with these settings shows regions."""
    return ViewSettings.of(make_job(**settings), LIMITS)


def make_record(boxes_xywh: list[list[float]] | None) -> InputRecord:
    """A record without an error."""
    return InputRecord(
        index=0, line=1, image="a.png", source="s3://b/images/a.png", bbox=boxes_xywh
    )


def png(image: Image.Image) -> bytes:
    """A picture's bytes, exactly as it is."""
    out = io.BytesIO()
    image.save(out, "PNG")
    return out.getvalue()


def coloured(
    size_wh: tuple[int, int], patches: dict[tuple[int, int, int, int], tuple[int, int, int]]
) -> Image.Image:
    """A grey picture with patches (xyxy) of plain colours."""
    image = Image.new("RGB", size_wh, (128, 128, 128))
    for box_xyxy, rgb in patches.items():
        image.paste(rgb, box_xyxy)
    return image
