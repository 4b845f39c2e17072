"""How fast pictures are marked: bytes in, marked JPEG out, on one core.

    python -m bench.render [--images 400] [--json]

In one run, on the same pictures, in turn:

    ours        regioncap.render.render_record: decode, resize, place, draw, encode, prompt
    reference   a plain OpenCV loop that does what the reference does: imread twice, darken, draw,
                imwrite
    limit       bare JPEG decode plus encode, through simplejpeg
    large       12 MP photographs, with reduced decoding and without
"""

from __future__ import annotations

import argparse
import io
import json
import random
import statistics
import tempfile
import time
from collections.abc import Callable, Sequence
from pathlib import Path

import cv2
import numpy as np
import simplejpeg
from PIL import Image

from regioncap import examples
from regioncap.images import decode
from regioncap.jobs import Job, now
from regioncap.records import InputRecord
from regioncap.render import render_record
from regioncap.settings import JobSettings
from regioncap.views import Limits

SIZE_WH = (640, 480)
LIMITS = Limits(max_pixels=1_003_520, max_image_bytes=50_000_000, max_image_pixels=100_000_000)
Boxes = list[tuple[int, int, int, int]]


def make_pictures(count: int, seed: int = 0) -> tuple[list[bytes], list[Boxes]]:
    """JPEGs cut from the example photographs, each with 1 to 10 boxes (xywh)."""
    rng = random.Random(seed)
    files = sorted((examples.examples_dir() / "photos").glob("*.jpg"))
    photos = [Image.open(file).convert("RGB") for file in files]
    pictures, boxes = [], []
    for _ in range(count):
        photo = rng.choice(photos)
        w, h = (rng.randint(side // 2, side) for side in photo.size)
        x, y = rng.randint(0, photo.width - w), rng.randint(0, photo.height - h)
        out = io.BytesIO()
        photo.crop((x, y, x + w, y + h)).resize(SIZE_WH).save(out, "JPEG", quality=90)
        pictures.append(out.getvalue())
        boxes.append([_box(rng) for _ in range(rng.randint(1, 10))])
    return pictures, boxes


def _box(rng: random.Random) -> tuple[int, int, int, int]:
    w, h = rng.randint(20, 300), rng.randint(20, 220)
    return rng.randint(0, SIZE_WH[0] - w), rng.randint(0, SIZE_WH[1] - h), w, h


def job() -> Job:
    """A job with the default settings."""
    return Job(
        job="20260101-000000-aaaaaa", created=now(), records=1, shards=1, settings=JobSettings()
    )


def ours(pictures: Sequence[bytes], boxes: Sequence[Boxes]) -> None:
    """The product's own way."""
    of = job()
    for i, (data, xywh) in enumerate(zip(pictures, boxes, strict=True)):
        record = InputRecord(index=i, line=i + 1, image="x", bbox=[list(box) for box in xywh])
        rendered, _ = render_record(record, data, of, LIMITS)
        assert rendered.error is None


def reference(files: Sequence[Path], boxes: Sequence[Boxes], out: Path) -> None:
    """What the reference does, as a plain loop."""
    font = cv2.FONT_HERSHEY_SIMPLEX
    for file, xywh in zip(files, boxes, strict=True):
        cv2.imread(str(file))  # it reads once for the size, once to draw
        image = cv2.imread(str(file))
        assert image is not None
        image = cv2.addWeighted(image, 0.8, np.zeros_like(image), 0.2, 0)
        for k, (x, y, w, h) in enumerate(xywh, start=1):
            cv2.rectangle(image, (x, y), (x + w, y + h), (0, 255, 0), 2)
            (tw, th), _ = cv2.getTextSize(str(k), font, 0.65, 2)
            cv2.rectangle(image, (x + 4, y + 20 - th), (x + 4 + tw, y + 24), (0, 0, 0), -1)
            cv2.putText(image, str(k), (x + 4, y + 20), font, 0.65, (255, 255, 255), 2)
        cv2.imwrite(str(out), image)


def limit(pictures: Sequence[bytes]) -> None:
    """Nothing but decode and encode."""
    for data in pictures:
        pixels = simplejpeg.decode_jpeg(data, "RGB")
        simplejpeg.encode_jpeg(pixels, 92, "RGB", "444")


def large_photographs(count: int) -> list[bytes]:
    """12 MP JPEGs."""
    pictures, _ = make_pictures(count, seed=1)
    large = []
    for data in pictures:
        out = io.BytesIO()
        Image.open(io.BytesIO(data)).resize((4000, 3000)).save(out, "JPEG", quality=90)
        large.append(out.getvalue())
    return large


def seconds(work: Callable[[], None]) -> float:
    """How long one run takes."""
    started = time.perf_counter()
    work()
    return time.perf_counter() - started


def paired(works: dict[str, Callable[[], None]], rounds: int) -> dict[str, float]:
    """Median seconds of each, the ways taken in turn so that all meet the same machine."""
    taken: dict[str, list[float]] = {name: [] for name in works}
    for _ in range(rounds):
        for name, work in works.items():
            taken[name].append(seconds(work))
    return {name: statistics.median(values) for name, values in taken.items()}


def measure(count: int, rounds: int) -> dict[str, float]:
    """All figures."""
    cv2.setNumThreads(1)
    pictures, boxes = make_pictures(count)
    large = large_photographs(4)
    with tempfile.TemporaryDirectory() as folder:
        files = [Path(folder) / f"{i}.jpg" for i in range(count)]
        for file, data in zip(files, pictures, strict=True):
            file.write_bytes(data)
        took = paired(
            {
                "ours": lambda: ours(pictures, boxes),
                "reference": lambda: reference(files, boxes, Path(folder) / "out.jpg"),
                "limit": lambda: limit(pictures),
                "large_reduced": lambda: _decode_all(large, LIMITS.max_pixels),
                "large_full": lambda: _decode_all(large, None),
            },
            rounds,
        )
    return {
        "images": count,
        "ours_per_s": count / took["ours"],
        "reference_per_s": count / took["reference"],
        "limit_per_s": count / took["limit"],
        "ours_over_reference": took["reference"] / took["ours"],
        "ours_over_limit": took["limit"] / took["ours"],
        "large_full_over_reduced": took["large_full"] / took["large_reduced"],
    }


def _decode_all(pictures: Sequence[bytes], budget_pixels: int | None) -> None:
    for data in pictures:
        decode(data, budget_pixels=budget_pixels)


def main() -> None:
    """Prints the figures."""
    parser = argparse.ArgumentParser(description=__doc__.splitlines()[0])
    parser.add_argument("--images", type=int, default=400)
    parser.add_argument("--rounds", type=int, default=5)
    parser.add_argument("--json", action="store_true")
    options = parser.parse_args()
    figures = measure(options.images, options.rounds)
    if options.json:
        print(json.dumps(figures))
        return
    print(f"{options.images} pictures of 640x480 with 1 to 10 boxes, one core, images/s:")
    for name in ("ours", "reference", "limit"):
        print(f"  {name:10} {figures[name + '_per_s']:7.0f}")
    print(f"ours over reference           {figures['ours_over_reference']:5.2f}  (aim: 1.3)")
    print(f"ours over bare decode+encode  {figures['ours_over_limit']:5.2f}  (aim: 0.6)")
    print(f"12 MP: full over reduced      {figures['large_full_over_reduced']:5.2f}  (aim: 2)")


if __name__ == "__main__":
    main()
