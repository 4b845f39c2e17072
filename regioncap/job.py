"""A job: the content of job.json, how its model takes pictures, `_SUCCESS`, and sums of results."""

from __future__ import annotations

from collections.abc import Mapping
from datetime import datetime, timedelta
from typing import Any, Literal, Self, get_args

from pydantic import BaseModel, ConfigDict, Field, model_validator

from regioncap.keys import MAX_SHARDS
from regioncap.parallel import REAL
from regioncap.records import SCHEMA_VERSION, FormatVersion, Status
from regioncap.settings import JobSettings

STATUSES: tuple[str, ...] = get_args(Status)
#: Numbers of words that captions are sorted by: from so many on.
WORD_BINS = (1, 6, 11, 21, 41, 81)
#: What counts are called for each.
WORD_COUNTS = {
    f"{least}-{most - 1}" if most else f"{least}-": f"captions_from_{least}_words"
    for least, most in zip(WORD_BINS, (*WORD_BINS[1:], 0), strict=True)
}
#: Counts of what captions and failures are like, which parts need not say.
QUALITY_COUNTS = frozenset(
    {
        "failed_as_given",
        *WORD_COUNTS.values(),
        "captions_repeated",
        "captions_verified",
        "captions_refuted",
        "image_captions",
    }
)


class Quality(BaseModel):
    """What captions are like, as far as it adds up part by part."""

    #: Captions by their number of words: `1-5`, `6-10` and so on; those that there are.
    caption_words: dict[str, int] = Field(default_factory=dict)
    #: Captions that are word for word those of another region of the picture.
    repeated: int = 0
    #: Captions of whole pictures.
    image_captions: int = 0
    #: Captions that were asked back and found true of their region, and those found wrong.
    verified: int = 0
    refuted: int = 0


class Sums(BaseModel):
    """The sums of a job so far."""

    regions_by_status: dict[str, int]
    #: Records whose captions were taken over from an earlier job.
    reused: int
    prompt_tokens: int
    completion_tokens: int
    #: Time in which engines were busy with the job, times their GPUs; 0 for engines without.
    gpu_seconds: float
    #: Regions with a caption per second while the job was worked on, waiting included.
    valid_regions_per_s: float
    #: Of regions with a caption; None without a price per GPU hour, GPU time or captions.
    price_per_1000_regions: float | None = None
    quality: Quality = Field(default_factory=Quality)


def sum_up(counts: Mapping[str, int], elapsed: timedelta, price_per_gpu_hour: float | None) -> Sums:
    """Sums from a job's counts.

    Args:
        counts: Counts of parts, added up; see `results.summarize`.
        elapsed: From submission until now, or until the job's end.
        price_per_gpu_hour: In any currency.
    """
    ok = counts.get("regions_ok", 0)
    gpu_s = counts.get("gpu_ms", 0) / 1000
    elapsed_s = elapsed.total_seconds()
    price = None
    if price_per_gpu_hour is not None and ok and gpu_s:
        price = round(gpu_s / 3600 * price_per_gpu_hour / ok * 1000, 6)
    return Sums(
        regions_by_status={status: counts.get(f"regions_{status}", 0) for status in STATUSES},
        reused=counts.get("reused", 0),
        prompt_tokens=counts.get("prompt_tokens", 0),
        completion_tokens=counts.get("completion_tokens", 0),
        gpu_seconds=gpu_s,
        valid_regions_per_s=round(ok / elapsed_s, 3) if elapsed_s > 0 else 0.0,
        price_per_1000_regions=price,
        quality=Quality(
            caption_words={
                bin_: counts[name] for bin_, name in WORD_COUNTS.items() if counts.get(name)
            },
            repeated=counts.get("captions_repeated", 0),
            image_captions=counts.get("image_captions", 0),
            verified=counts.get("captions_verified", 0),
            refuted=counts.get("captions_refuted", 0),
        ),
    )


BoxUnit = Literal["pixels", "thousandths"]


class Grid(BaseModel):
    """How a model takes pictures. The defaults are Qwen2.5-VL's.

    A picture whose sides are multiples of `cell_px` and that has no more than `max_pixels` pixels
    is seen as it is; any other is resized by the model's own image processor, marks with it.
    """

    model_config = ConfigDict(frozen=True)

    #: Side of the square of pixels behind one token: patch times merge, 2x2 patches of 14.
    cell_px: int = Field(28, ge=1, le=512)
    #: Most pixels of a picture; None leaves it to the render worker's `max_pixels`.
    max_pixels: int | None = Field(None, ge=1)
    #: Whether the model takes pictures of fixed size or in tiles: it has no grid then, and resizes
    #: whatever it gets.
    resizes: bool = False
    #: What stands for a picture in the model's prompts.
    placeholders: tuple[str, ...] = ()
    #: How the model speaks of places: pixels of the picture as it gets it, or thousandths of its
    #: sides.
    box_unit: BoxUnit = "pixels"
    #: The model that was asked; empty for the default.
    model: str = ""

    def keeps(self, size_wh: tuple[int, int]) -> bool:
        """Whether the model sees a picture of this size as it is, as far as can be known."""
        if self.resizes:
            return True  # no other size would be any better
        width, height = size_wh
        too_large = self.max_pixels is not None and width * height > self.max_pixels
        # Of one that is a cell high or wide nothing more can be taken off without losing its shape.
        is_thin = min(size_wh) <= self.cell_px
        return not (width % self.cell_px or height % self.cell_px or (too_large and not is_thin))


_PARTS = b'"parts":'


class Job(BaseModel):
    """One submission. Written once, before anything is queued, and never changed."""

    schema_version: FormatVersion = SCHEMA_VERSION
    job: str
    created: datetime
    name: str = ""
    labels: dict[str, str] = Field(default_factory=dict)
    #: The user's key, under which there is no other job; empty for none.
    key: str = ""
    #: Where the records came from, as the user wrote it.
    source: str = ""
    records: int = Field(ge=0)
    #: As many as the records need: see `shard_records`.
    shards: int = Field(ge=0, le=MAX_SHARDS)
    #: Records that could not be read or whose image could not be uploaded.
    rejected: int = Field(0, ge=0)
    settings: JobSettings
    #: Text of the prompt template if it is the user's own; empty for one that is built in.
    prompt_template: str = ""
    #: Which fields are asked for beside captions, as `views/region_schema.py` makes it; None for
    #: none.
    region_schema: dict[str, Any] | None = None
    #: What pictures are made for.
    grid: Grid = Field(default_factory=Grid)

    @model_validator(mode="after")
    def _counts_agree(self) -> Self:
        if self.shards != -(-self.records // self.settings.shard_size):
            raise ValueError("not as many shards as the records need")
        if self.rejected > self.records:
            raise ValueError("more records rejected than there are")
        return self

    def shard_records(self, shard: int) -> range:
        """Indices of the records in a shard."""
        size = self.settings.shard_size
        return range(shard * size, min((shard + 1) * size, self.records))


def sums(job: Job, counts: Mapping[str, int], until: datetime) -> Sums:
    """Sums of a job from its counts, from its submission until a moment."""
    return sum_up(counts, until - job.created, job.settings.price_per_gpu_hour)


class Summary(BaseModel):
    """What `_SUCCESS` says of a finished job as a whole.

    After it, last in the object and most of it, stand the `parts`: one a shard, in order, with key,
    sha256 and counts.
    """

    schema_version: FormatVersion = SCHEMA_VERSION
    job: str
    finished: datetime
    #: Of the results: 1 as captioned, and one more with each import of edits.
    version: int = 1
    #: For how long it was worked on, seconds: from submission to its first end, and as long as each
    #: change of it took; None where a version that did not count it wrote this.
    worked_s: float | None = None
    counts: dict[str, int]
    sums: Sums | None = None


def now() -> datetime:
    """The time, in UTC, to the millisecond."""
    return REAL.now()


def parse_summary(text: bytes) -> Summary:
    """What stands before the parts in the text of a `_SUCCESS`, whole or cut off among them."""
    end = text.find(_PARTS)
    return Summary.model_validate_json(text if end < 0 else text[:end] + _PARTS + b"[]}")
