"""What a large job would take, on paper, from the figures that the other benches measured.

    python -m bench.paper [--images 100000000] [--gpus 64] [--gpu-images-per-s 20]

Reads docs/performance/pipeline.json and control.json; money by list prices of object stores of the
class of S3 (dollars, given as options).
"""

from __future__ import annotations

import argparse
import json
from pathlib import Path
from typing import Any

DATA = Path(__file__).parents[1] / "docs" / "performance"
SIZES = (32, 256)


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


def paper(options: argparse.Namespace, shard_size: int) -> dict[str, float]:
    """One column of the table."""
    pipeline, control = _figures("pipeline"), _figures("control")
    images = options.images
    shards = images / shard_size
    made = requests_of(pipeline, images, shard_size)
    rate = options.gpus * options.gpu_images_per_s
    sizes = pipeline["mean_bytes"]
    burst = control["burst"]
    kept_tb = images * (sizes["marked"] + sizes["parts"]) / 1e12
    cheap, dear = made["HEAD"] + made["GET"], made["PUT"]
    cpu = pipeline["processor_ms"]
    return {
        "shards": shards,
        "hours on the GPUs": images / rate / 3600,
        "shards/s": rate / shard_size,
        # The burst is of the caption stage; the render stage asks as much of Redis.
        "Redis busy, share": 2 * rate / shard_size * burst["redis_ms_per_shard"] / 1000,
        "Redis memory, all queued, MB": shards * burst["queued_bytes_per_shard"] / 1e6,
        "objects, millions": (3 * images + 3 * shards) / 1e6,
        "PUT, millions": dear / 1e6,
        "GET and HEAD, millions": cheap / 1e6,
        "requests/s at the store": (cheap + dear + made["DELETE"]) * rate / images,
        "marked pictures and parts, TB": kept_tb,
        "MB/s out of the store": rate * (sizes["marked"] + options.source_kb * 1e3) / 1e6,
        "cores that draw": rate * cpu["render-1"] / 1000,
        "cores beside the GPUs": rate * options.caption_ms / 1000,
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
    parser.add_argument("--gpu-images-per-s", type=float, default=20.0)
    parser.add_argument("--source-kb", type=float, default=100.0, help="of a source picture")
    parser.add_argument("--caption-ms", type=float, default=3.0, help="of a caption worker's core")
    parser.add_argument("--put-price", type=float, default=5.0, help="dollars a million")
    parser.add_argument("--get-price", type=float, default=0.4, help="dollars a million")
    parser.add_argument("--tb-month-price", type=float, default=23.0)
    options = parser.parse_args()
    columns = [paper(options, size) for size in SIZES]
    print(f"{'shard size':32}" + "".join(f"{size:>14}" for size in SIZES))
    for name in columns[0]:
        print(f"{name:32}" + "".join(f"{column[name]:>14,.2f}" for column in columns))


if __name__ == "__main__":
    main()
