"""How fast pictures are marked: bytes in, marked JPEG out, on one core.

    python -m bench.render [--images 400] [--rounds 5] [--memory 5000] [--json FILE]

In one run, on the same pictures, in turn:

    ours        regioncap.views.render.render_record: decode, resize, place, draw, encode, prompt
    reference   a plain OpenCV loop that does what the reference does: imread twice, darken, draw,
                imwrite, normalize the boxes, one JSON line
    alike       the same loop with our picture: resized to sides of whole patches, and encoded with
                full colour resolution at quality 92
    limit       bare JPEG decode plus encode, through simplejpeg
    large       12 MP photographs down to what the model sees, with reduced decoding and without;
                smooth ones, and with the grain of a camera

Last, one process marks thousands of pictures and tells how its memory grew.
"""

from __future__ import annotations

import io
import json
import random
import tempfile
import time
from collections.abc import Callable, Sequence
from pathlib import Path

import cv2
import numpy as np
import psutil
import simplejpeg
from PIL import Image

from bench import as_command, report
from regioncap.inputs import examples
from regioncap.records import InputRecord
from regioncap.settings import JobSettings
from regioncap.views.pixels import decode, fit
from regioncap.views.prompts import built_in
from regioncap.views.render import render_record
from regioncap.views.sizes import fit_size
from regioncap.views.view import Limits, ViewSettings

SIZE_WH = (640, 480)
LIMITS = Limits(max_pixels=1_003_520, max_image_bytes=50_000_000, max_image_pixels=100_000_000)
#: The default settings of a job.
HOW = ViewSettings("bench", JobSettings(), built_in("default"), LIMITS)
Boxes = list[tuple[int, int, int, int]]

#: Noise of the grainy photographs, levels: their files have the size of a camera's.
_GRAIN = 5.0
_RATED = ("ours", "reference", "alike", "limit")
_AIMS = {
    "ours_over_reference": "(aim: 1.3)",
    "ours_over_alike": "",
    "ours_over_limit": "(aim: 0.6)",
    "large_smooth_full_over_reduced": "(aim: 2)",
    "large_grainy_full_over_reduced": "",
}


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


def ours(pictures: Sequence[bytes], boxes: Sequence[Boxes]) -> None:
    """The product's own way."""
    for i, (data, xywh) in enumerate(zip(pictures, boxes, strict=True)):
        record = InputRecord(index=i, line=i + 1, image="x", bbox=[list(box) for box in xywh])
        rendered, _ = render_record(record, data, HOW)
        assert rendered.error is None


def reference(files: Sequence[Path], boxes: Sequence[Boxes], out: Path, *, alike: bool) -> None:
    """What the reference does, as a plain loop; if wanted with a picture like ours."""
    font = cv2.FONT_HERSHEY_SIMPLEX
    how = [cv2.IMWRITE_JPEG_QUALITY, 92, cv2.IMWRITE_JPEG_SAMPLING_FACTOR, 0x111111]
    lines = []
    for i, (file, xywh) in enumerate(zip(files, boxes, strict=True)):
        first = cv2.imread(str(file))  # it reads once for the size, once to draw
        image = cv2.imread(str(file))
        assert first is not None
        assert image is not None
        size_wh = first.shape[1], first.shape[0]
        if alike:
            image = cv2.resize(image, fit_size(size_wh, LIMITS.max_pixels), None, 0, 0, 2)
        image = cv2.addWeighted(image, 0.8, np.zeros_like(image), 0.2, 0)
        for k, (x, y, w, h) in enumerate(xywh, start=1):
            cv2.rectangle(image, (x, y), (x + w, y + h), (0, 255, 0), 2)
            (tw, th), _ = cv2.getTextSize(str(k), font, 0.65, 2)
            cv2.rectangle(image, (x + 4, y + 20 - th), (x + 4 + tw, y + 24), (0, 0, 0), -1)
            cv2.putText(image, str(k), (x + 4, y + 20), font, 0.65, (255, 255, 255), 2)
        marked = out / f"{i}_bbox_vis.jpg"
        cv2.imwrite(str(marked), image, how if alike else [])
        lines.append(_reference_line(str(file), xywh, str(marked), size_wh))
    (out / "out.jsonl").write_text("\n".join(lines))


def _reference_line(image: str, xywh: Boxes, marked: str, size_wh: tuple[int, int]) -> str:
    width, height = size_wh
    rows = [
        [round(x / width, 3), round(y / height, 3), round((x + w) / width, 3),
         round((y + h) / height, 3)]
        for x, y, w, h in xywh
    ]  # fmt: skip
    rows += [[0.0] * 4] * (10 - len(rows))
    prompt = f"Describe the content of each marked region. There are {len(xywh)} regions."
    return json.dumps({
        "image": image, "type": "with_bbox", "bbox": xywh, "normalized_bbox": rows,
        "image_with_bbox": marked, "valid_bboxes_num": len(xywh), "prompt": prompt,
    })  # fmt: skip


def limit(pictures: Sequence[bytes]) -> None:
    """Nothing but decode and encode."""
    for data in pictures:
        pixels = simplejpeg.decode_jpeg(data, "RGB")
        simplejpeg.encode_jpeg(pixels, 92, "RGB", "444")


def large_photographs(count: int, grain: float) -> list[bytes]:
    """12 MP JPEGs, with noise of so many levels."""
    noise = np.random.default_rng(0).normal(0, grain, (3000, 4000, 1)) if grain else 0
    large = []
    for data in make_pictures(count, seed=1)[0]:
        wide = np.asarray(Image.open(io.BytesIO(data)).resize((4000, 3000)))
        grainy = np.clip(wide + noise, 0, 255).astype(np.uint8)
        large.append(bytes(simplejpeg.encode_jpeg(grainy, 90, "RGB", "420")))
    return large


def seconds(work: Callable[[], None]) -> float:
    """Processor time of one run: neither other work on the machine nor a slow disk counts."""
    started = time.process_time()
    work()
    return time.process_time() - started


def paired(works: dict[str, Callable[[], None]], rounds: int) -> dict[str, float]:
    """Least seconds of each, the ways taken in turn so that all meet the same machine."""
    taken: dict[str, list[float]] = {name: [] for name in works}
    for _ in range(rounds):
        for name, work in works.items():
            taken[name].append(seconds(work))
    return {name: min(values) for name, values in taken.items()}


def measure(count: int, rounds: int) -> dict[str, float]:
    """All figures of speed."""
    cv2.setNumThreads(1)
    pictures, boxes = make_pictures(count)
    smooth, grainy = large_photographs(4, 0), large_photographs(4, _GRAIN)
    with tempfile.TemporaryDirectory() as folder:
        files, out = [Path(folder) / f"{i}.jpg" for i in range(count)], Path(folder) / "out"
        out.mkdir()
        for file, data in zip(files, pictures, strict=True):
            file.write_bytes(data)
        took = paired(
            {
                "ours": lambda: ours(pictures, boxes),
                "reference": lambda: reference(files, boxes, out, alike=False),
                "alike": lambda: reference(files, boxes, out, alike=True),
                "limit": lambda: limit(pictures),
                "smooth_reduced": lambda: _shrink(smooth, LIMITS.max_pixels),
                "smooth_full": lambda: _shrink(smooth, None),
                "grainy_reduced": lambda: _shrink(grainy, LIMITS.max_pixels),
                "grainy_full": lambda: _shrink(grainy, None),
            },
            rounds,
        )
    rates = {f"{name}_per_s": count / took[name] for name in _RATED}
    regions = sum(map(len, boxes))
    return {
        "images": count,
        "regions_per_image": regions / count,
        **rates,
        "ours_regions_per_s": regions / took["ours"],
        "ours_over_reference": took["reference"] / took["ours"],
        "ours_over_alike": took["alike"] / took["ours"],
        "ours_over_limit": took["limit"] / took["ours"],
        "large_smooth_full_over_reduced": took["smooth_full"] / took["smooth_reduced"],
        "large_grainy_full_over_reduced": took["grainy_full"] / took["grainy_reduced"],
        "large_grainy_mb": sum(map(len, grainy)) / len(grainy) / 1e6,
    }


def _shrink(pictures: Sequence[bytes], budget_pixels: int | None) -> None:
    """Decodes, at a reduced size if there is a budget, and fits to what the model sees."""
    for data in pictures:
        picture = decode(data, budget_pixels=budget_pixels)
        fit(picture.pixels, fit_size(picture.size_wh, LIMITS.max_pixels))


def measure_memory(count: int) -> dict[str, float]:
    """Resident megabytes of this process after a fifth of so many pictures, and after all."""
    pictures, boxes = make_pictures(count // 50)
    process = psutil.Process()
    held = []
    for _ in range(50):
        ours(pictures, boxes)
        held.append(process.memory_info().rss / 1e6)
    return {"memory_images": count, "memory_mb_first_fifth": held[9], "memory_mb_all": held[-1]}


def main() -> None:
    """Prints the figures."""
    options = report.parser(__doc__, images=400, rounds=5, memory=5000).parse_args()
    figures = measure(options.images, options.rounds) | measure_memory(options.memory)
    print(f"{options.images} pictures of 640x480 with 1 to 10 boxes, one core, images/s:")
    for name in _RATED:
        print(f"  {name:10} {figures[name + '_per_s']:7.0f}")
    for name, aim in _AIMS.items():
        print(f"{name.replace('_', ' '):34}{figures[name]:5.2f}  {aim}")
    print(
        f"memory after {options.memory // 5} pictures {figures['memory_mb_first_fifth']:.0f} MB, "
        f"after {options.memory} {figures['memory_mb_all']:.0f} MB"
    )
    report.save(options, "render", figures)


if __name__ == "__main__":
    as_command(main)
