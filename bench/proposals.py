"""How well boxes are proposed: `python -m bench.proposals [--scenes N]`.

Prints, for ours and for the reference's method, the recall at IoU 0.5, the boxes per picture and
the processor time per picture over (a) scenes made from a fixed seed, patches of the example
photographs in various shapes on other, mostly blurred, photographs, and (b) the example photographs
with their hand-placed boxes.
"""

from __future__ import annotations

import argparse
import json
import time
from collections.abc import Callable, Sequence
from dataclasses import dataclass

import numpy as np
from PIL import Image, ImageDraw, ImageFilter, ImageOps

from bench import as_command
from bench.contours import contour_boxes
from regioncap.inputs.examples import examples_dir, photos_jsonl
from regioncap.views.boxes import Box, intersection_xyxy, iou_xyxy, scale_xyxy, xyxy_from_xywh
from regioncap.views.proposals import propose

#: Takes a picture and how many boxes are wanted; returns them as fractions of the sides.
Method = Callable[[Image.Image, int], list[Box]]
METHODS: dict[str, Method] = {"segments": propose, "contours": contour_boxes}
SEED = 7
MAX_BOXES = 10
IOU = 0.5


@dataclass(frozen=True, slots=True)
class Known:
    """A picture and the boxes of its objects, (left, top, width, height)."""

    image: Image.Image
    boxes_xywh: tuple[Box, ...]


def photographs() -> list[Known]:
    """The example photographs with their hand-placed boxes."""
    lines = photos_jsonl().read_text(encoding="utf-8").splitlines()
    records = [record for line in lines if (record := json.loads(line)).get("bbox")]
    return [
        Known(
            ImageOps.exif_transpose(Image.open(examples_dir() / record["image"])).convert("RGB"),
            tuple(tuple(box) for box in record["bbox"]),
        )
        for record in records
    ]


def scenes(count: int, photos: Sequence[Image.Image]) -> list[Known]:
    """Scenes from a fixed seed."""
    rng = np.random.default_rng(SEED)
    return [_scene(rng, photos) for _ in range(count)]


def _scene(rng: np.random.Generator, photos: Sequence[Image.Image]) -> Known:
    size = int(rng.integers(480, 900)), int(rng.integers(400, 700))
    canvas = _crop(rng, photos, size)
    if rng.random() < 0.6:
        canvas = canvas.filter(ImageFilter.GaussianBlur(float(rng.uniform(1, 8))))
    boxes: list[Box] = []
    for _ in range(40):
        box = _free_box(rng, size, boxes)
        if box is None:
            continue
        x, y, w, h = box
        outline = _outline(rng, w, h)
        canvas.paste(_crop(rng, photos, (w, h)), (x, y), outline)
        left, top, right, bottom = outline.getbbox() or (0, 0, w, h)
        boxes.append((x + left, y + top, right - left, bottom - top))
        if rng.random() < 0.25:
            break
    return Known(canvas, tuple(boxes))


def _crop(
    rng: np.random.Generator, photos: Sequence[Image.Image], size: tuple[int, int]
) -> Image.Image:
    """A part of some photograph, (width, height) pixels, enlarged if it must be."""
    photo = photos[int(rng.integers(len(photos)))]
    zoom = max(size[0] / photo.width, size[1] / photo.height, 1) * rng.uniform(1, 1.3)
    photo = photo.resize((round(photo.width * zoom) + 1, round(photo.height * zoom) + 1))
    x = int(rng.integers(photo.width - size[0]))
    y = int(rng.integers(photo.height - size[1]))
    return photo.crop((x, y, x + size[0], y + size[1]))


def _free_box(
    rng: np.random.Generator, size: tuple[int, int], taken: Sequence[Box]
) -> tuple[int, int, int, int] | None:
    w, h = int(size[0] * rng.uniform(0.1, 0.45)), int(size[1] * rng.uniform(0.1, 0.5))
    x, y = int(rng.integers(size[0] - w)), int(rng.integers(size[1] - h))
    around = (x - 4, y - 4, x + w + 4, y + h + 4)
    if any(intersection_xyxy(around, xyxy_from_xywh(box)) for box in taken):
        return None
    return x, y, w, h


def _outline(rng: np.random.Generator, width: int, height: int) -> Image.Image:
    """An ellipse, a rounded rectangle or a polygon as a mask."""
    mask = Image.new("L", (2 * width, 2 * height))
    draw = ImageDraw.Draw(mask)
    corner = (2 * width - 1, 2 * height - 1)
    kind = rng.integers(3)
    if kind == 0:
        draw.ellipse((0, 0, *corner), fill=255)
    elif kind == 1:
        draw.rounded_rectangle((0, 0, *corner), int(rng.integers(min(width, height))), fill=255)
    else:
        angles = np.sort(rng.uniform(0, 2 * np.pi, 10))
        reach = rng.uniform(0.6, 1, 10)
        x, y = width * (1 + reach * np.cos(angles)), height * (1 + reach * np.sin(angles))
        draw.polygon([*zip(x.tolist(), y.tolist(), strict=True)], fill=255)
    return mask.resize((width, height))


def measure(pictures: Sequence[Known], method: Method) -> tuple[float, float, float]:
    """Recall, boxes per picture and milliseconds of processor time per picture."""
    found = known = proposed = 0
    started = time.process_time()
    answers = [method(picture.image, MAX_BOXES) for picture in pictures]
    elapsed_ms = (time.process_time() - started) * 1000
    for picture, boxes in zip(pictures, answers, strict=True):
        proposed += len(boxes)
        known += len(picture.boxes_xywh)
        found += sum(
            any(iou_xyxy(xyxy_from_xywh(known_box), box) >= IOU for box in _pixels(boxes, picture))
            for known_box in picture.boxes_xywh
        )
    return found / known, proposed / len(pictures), elapsed_ms / len(pictures)


def _pixels(boxes: Sequence[Box], picture: Known) -> list[Box]:
    return [scale_xyxy(box, (1, 1), picture.image.size) for box in boxes]


def main() -> None:
    parser = argparse.ArgumentParser(description=__doc__)
    parser.add_argument("--scenes", type=int, default=100, help="how many scenes to make")
    count = parser.parse_args().scenes
    photos = photographs()
    sets = {
        f"{count} scenes": scenes(count, [photo.image for photo in photos]),
        f"{len(photos)} photographs": photos,
    }
    print(f"at most {MAX_BOXES} boxes a picture")
    print(f"{'pictures':16} {'method':10} {'recall@0.5':>10} {'boxes':>6} {'ms':>6}")
    for name, pictures in sets.items():
        for method, find in METHODS.items():
            recall, boxes, ms = measure(pictures, find)
            print(f"{name:16} {method:10} {recall:10.3f} {boxes:6.1f} {ms:6.1f}")


if __name__ == "__main__":
    as_command(main)
