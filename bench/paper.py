"""What a large job would take, on paper, from the figures that the other benches measured.

    python -m bench.paper [--images 100000000] [--gpus 64] [--gpu-images-per-s 20 | --rates FILE]

Reads docs/performance/pipeline.json and control.json. What a GPU does in a second is measured where
docs/performance has a file of bench.gpu (its row small/system; with several, --rates names one),
and else assumed; it says which. Money is by list prices of object stores of the class of S3
(dollars, given as options).
"""

from __future__ import annotations

import argparse
import json
from pathlib import Path
from typing import Any, NamedTuple

from bench import as_command

DATA = Path(__file__).parents[1] / "docs" / "performance"
SIZES = (32, 256)
#: The row of bench.gpu whose pictures are as large as those of bench.pipeline.
ROW = "small/system"
ASSUMED_PER_S, ASSUMED_CAPTION_MS = 20.0, 3.0


class Gpu(NamedTuple):
    """What one GPU does."""

    images_per_s: float
    #: Of the caption worker's processor for an image.
    caption_ms: float
    #: Where that comes from.
    source: str


def gpu_of(options: argparse.Namespace, folder: Path = DATA) -> Gpu:
    """What a GPU does: as given, as measured, or as assumed."""
    files = [options.rates] if options.rates else sorted(folder.glob("gpu-*.json"))
    if options.gpu_images_per_s is not None:
        return Gpu(options.gpu_images_per_s, ASSUMED_CAPTION_MS, "given, not measured")
    if len(files) > 1:
        names = ", ".join(file.name for file in files)
        raise SystemExit(f"several cards were measured: name one with --rates FILE: {names}")
    row = json.loads(files[0].read_text())["rows"].get(ROW) if files else None
    if row is None:
        return Gpu(
            ASSUMED_PER_S,
            ASSUMED_CAPTION_MS,
            "assumed: no run on a GPU is in docs/performance; python -m bench.gpu measures it",
        )
    spent = row["runs"][-1]["processor_ms"].get("caption worker", ASSUMED_CAPTION_MS)
    return Gpu(row["images_per_s"], spent, f"measured: {files[0].name}, {ROW}")


def requests_of(pipeline: dict[str, Any], images: int, shard_size: int) -> dict[str, float]:
    """Requests by method of a job of so many images, from those of the measured one.

    A picture is uploaded (HEAD, PUT), fetched, marked (PUT), fetched again, and its captions are
    kept (PUT): that much belongs to each image. The rest belongs to each shard.
    """
    measured, shards = pipeline["images"], pipeline["shards"]
    each = {"HEAD": 1.0, "PUT": 3.0, "GET": 2.0}
    total: dict[str, float] = {}
    for method in ("HEAD", "GET", "PUT", "DELETE"):
        made = sum(stage.get(method, 0) for stage in pipeline["requests"].values())
        per_shard = (made - each.get(method, 0) * measured) / shards
        total[method] = images * each.get(method, 0) + max(0.0, per_shard) * images / shard_size
    return total


def paper(options: argparse.Namespace, gpu: Gpu, shard_size: int) -> dict[str, float]:
    """One column of the table."""
    pipeline, control = _figures("pipeline"), _figures("control")
    images = options.images
    shards = images / shard_size
    made = requests_of(pipeline, images, shard_size)
    rate = options.gpus * gpu.images_per_s
    sizes = pipeline["mean_bytes"]
    burst = control["burst"]
    kept_tb = images * (sizes["marked"] + sizes["parts"]) / 1e12
    cheap, dear = made["HEAD"] + made["GET"], made["PUT"]
    cpu = pipeline["processor_ms"]
    requests = (cheap + dear + made["DELETE"]) / images
    return {
        "a GPU: cores that draw": gpu.images_per_s * cpu["render-1"] / 1000,
        "a GPU: cores of its caption worker": gpu.images_per_s * gpu.caption_ms / 1000,
        "a GPU: requests/s at the store": gpu.images_per_s * requests,
        "shards": shards,
        "hours on the GPUs": images / rate / 3600,
        "shards/s": rate / shard_size,
        # The burst is of the caption stage; the render stage asks as much of Redis.
        "Redis busy, share": 2 * rate / shard_size * burst["redis_ms_per_shard"] / 1000,
        "Redis memory, all queued, MB": shards * burst["queued_bytes_per_shard"] / 1e6,
        "objects, millions": (3 * images + 3 * shards) / 1e6,
        "PUT, millions": dear / 1e6,
        "GET and HEAD, millions": cheap / 1e6,
        "requests/s at the store": requests * rate,
        "marked pictures and parts, TB": kept_tb,
        "MB/s out of the store": rate * (sizes["marked"] + options.source_kb * 1e3) / 1e6,
        "cores that draw": rate * cpu["render-1"] / 1000,
        "cores of caption workers": rate * gpu.caption_ms / 1000,
        "PUT, dollars": dear / 1e6 * options.put_price,
        "GET and HEAD, dollars": cheap / 1e6 * options.get_price,
        "storing a month, dollars": kept_tb * options.tb_month_price,
    }


def _figures(name: str) -> dict[str, Any]:
    figures: dict[str, Any] = json.loads((DATA / f"{name}.json").read_text())["figures"]
    return figures


def main() -> None:
    """Prints the table."""
    parser = argparse.ArgumentParser(description=(__doc__ or "").split("\n", maxsplit=1)[0])
    parser.add_argument("--images", type=int, default=100_000_000)
    parser.add_argument("--gpus", type=int, default=64)
    parser.add_argument("--gpu-images-per-s", type=float, help="of one GPU, in place of a measured")
    parser.add_argument("--rates", type=Path, help="file of bench.gpu, where there are several")
    parser.add_argument("--source-kb", type=float, default=100.0, help="of a source picture")
    parser.add_argument("--put-price", type=float, default=5.0, help="dollars a million")
    parser.add_argument("--get-price", type=float, default=0.4, help="dollars a million")
    parser.add_argument("--tb-month-price", type=float, default=23.0)
    options = parser.parse_args()
    gpu = gpu_of(options)
    columns = [paper(options, gpu, size) for size in SIZES]
    caption = f"{gpu.caption_ms:.3g} ms of its caption worker's processor an image"
    print(f"{gpu.images_per_s:.4g} images/s a GPU, {caption}: {gpu.source}")
    print(
        "requests, bytes, cores that draw: measured, pipeline.json; Redis: measured, control.json"
    )
    print("GPUs, size of sources and prices: given")
    print(f"{'shard size':36}" + "".join(f"{size:>14}" for size in SIZES))
    for name in columns[0]:
        print(f"{name:36}" + "".join(f"{column[name]:>14,.2f}" for column in columns))


if __name__ == "__main__":
    as_command(main)
