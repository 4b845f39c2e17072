"""What a job came to: tokens, GPU time, regions by status, speed and price; pure."""

from __future__ import annotations

from collections.abc import Mapping
from datetime import timedelta
from typing import get_args

from pydantic import BaseModel

from regioncap.records import Status

STATUSES: tuple[str, ...] = get_args(Status)


class Sums(BaseModel):
    """The sums of a job so far."""

    regions_by_status: dict[str, int]
    #: Records whose captions were taken over from an earlier job.
    reused: int
    prompt_tokens: int
    completion_tokens: int
    #: Time in which engines were busy with the job, times their GPUs; 0 for engines without.
    gpu_seconds: float
    #: Regions with a caption per second since the job was submitted, waiting included.
    valid_regions_per_s: float
    #: Of regions with a caption; None without a price per GPU hour, GPU time or captions.
    price_per_1000_regions: float | None = None


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
    )
