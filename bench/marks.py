"""Measures the mark styles: what tags hide, how well marks stand out, and how long it takes.

    python -m bench.marks [--json] [--pictures N]

Layouts are drawn from a fixed seed: boxes of 3 to 50 % of the picture's side, anywhere in it.
"""

from __future__ import annotations

import argparse
import itertools
import json
import random
import statistics
import time
from collections import Counter
from collections.abc import Sequence
from typing import Any

import numpy as np
from numpy.typing import NDArray
from PIL import Image

from bench import as_command
from regioncap.views.boxes import Box, Size, intersection_xyxy, pixel_rect
from regioncap.views.marks import STYLES, Mark, MarkStyle
from regioncap.views.marks.base import Rgb, fill
from regioncap.views.marks.palette import contrast
from tests.support.vision import EYES, difference

COUNTS = (1, 5, 10, 20)
SIZES_WH: tuple[Size, ...] = ((640, 480), (1024, 768), (1920, 1080))
TIMED_WH: Size = (1280, 960)
TIMED_BOXES = 10
SHARES = (0.03, 0.06, 0.12, 0.25, 0.5)


def random_boxes(rng: random.Random, count: int, size_wh: Size) -> list[Box]:
    """Boxes of mixed sizes, at least 8 px a side, inside the picture."""
    width, height = size_wh
    boxes = []
    for _ in range(count):
        share = rng.choice(SHARES)
        w = min(max(8.0, width * share * rng.uniform(0.5, 1.5)), width - 1)
        h = min(max(8.0, height * share * rng.uniform(0.5, 1.5)), height - 1)
        x, y = rng.uniform(0, width - w), rng.uniform(0, height - h)
        boxes.append((x, y, x + w, y + h))
    return boxes


def lay_out(style: MarkStyle, size_wh: Size, boxes: Sequence[Box]) -> list[Mark]:
    """Marks numbered from 1."""
    rects = [pixel_rect(box, size_wh) for box in boxes]
    return style.layout(size_wh, rects, range(1, len(rects) + 1))


def measure_placement(style: MarkStyle, count: int, pictures: int) -> dict[str, float]:
    """Shares, in percent, of tags that touch or leave the picture and of boxes hidden by tags."""
    rng = random.Random(count)
    touching = hidden = outside = leaders = 0
    for _ in range(pictures):
        size_wh = rng.choice(SIZES_WH)
        marks = lay_out(style, size_wh, random_boxes(rng, count, size_wh))
        tags = [mark.tag_xyxy for mark in marks]
        touching += sum(
            any(intersection_xyxy(a, b) > 0 for j, b in enumerate(tags) if j != i)
            for i, a in enumerate(tags)
        )
        hidden += sum(share > 0.3 for share in hidden_shares(marks, size_wh))
        outside += sum(
            x1 < 0 or y1 < 0 or x2 > size_wh[0] or y2 > size_wh[1] for x1, y1, x2, y2 in tags
        )
        leaders += sum(mark.leader is not None for mark in marks)
    percent = 100 / (pictures * count)
    return {
        "tags_touching_pct": touching * percent,
        "boxes_hidden_pct": hidden * percent,
        "tags_outside_pct": outside * percent,
        "leaders_pct": leaders * percent,
    }


def hidden_shares(marks: Sequence[Mark], size_wh: Size) -> list[float]:
    """The share of each box that lies under tags, its own or others'."""
    under = np.zeros((size_wh[1], size_wh[0]), dtype=np.bool_)
    for mark in marks:
        fill(under, mark.tag_xyxy, True)
    shares = []
    for mark in marks:
        x1, y1, x2, y2 = mark.box_xyxy
        shares.append(float(under[y1:y2, x1:x2].mean()))
    return shares


def spread_marks(style: MarkStyle) -> list[Mark]:
    """Ten marks far apart, so that each can be measured alone."""
    boxes = [(60 + 120 * (i % 5), 80 + 200 * (i // 5), 110 + 120 * (i % 5), 160 + 200 * (i // 5))
             for i in range(10)]  # fmt: skip
    return lay_out(
        style, (640, 420), [(float(a), float(b), float(c), float(d)) for a, b, c, d in boxes]
    )


def measure_looks(style: MarkStyle) -> dict[str, float | None]:
    """Contrasts from drawn pixels, and the smallest difference of two marks' colours."""
    marks = spread_marks(style)
    looks: dict[str, float | None] = {
        "text_contrast_min": min_text_contrast(style, marks),
        "line_contrast_min": min_line_contrast(style, marks),
    }
    colours = [mark.rgb for mark in marks]
    for eye in EYES:
        apart = [difference(a, b, eye) for a, b in itertools.combinations(colours, 2)]
        looks[f"colour_difference_min_{eye}"] = min(apart) if len(set(colours)) > 1 else None
    return looks


def min_text_contrast(style: MarkStyle, marks: Sequence[Mark]) -> float:
    """The lowest contrast of a tag's digits, where they are fully inked, to its plate."""
    drawn = style.draw(np.full((420, 640, 3), 128, np.uint8), marks)
    lowest = 21.0
    for mark in marks:
        x1, y1, x2, y2 = mark.tag_xyxy
        inner = [_rgb(p) for p in drawn[y1 + 3 : y2 - 3, x1 + 3 : x2 - 3].reshape(-1, 3)]
        plate = Counter(inner).most_common(1)[0][0]
        lowest = min(lowest, max(contrast(plate, colour) for colour in set(inner)))
    return lowest


def min_line_contrast(style: MarkStyle, marks: Sequence[Mark]) -> float:
    """The lowest contrast of a line's best part to a plain ground, over 256 grounds.

    Contrast depends on luminance alone, so the greys stand for all colours.
    """
    lowest = 21.0
    for level in range(256):
        drawn = style.draw(np.full((420, 640, 3), level, np.uint8), marks)
        for mark in marks:
            cut = _line_cut(drawn, mark)
            ground, line = _rgb(cut[0]), {_rgb(pixel) for pixel in cut[1:]}
            lowest = min(lowest, max(contrast(ground, colour) for colour in line))
    return lowest


def _line_cut(drawn: NDArray[np.uint8], mark: Mark) -> NDArray[np.uint8]:
    """One pixel of ground, then the pixels of the lower line from the outside in."""
    x1, _, x2, bottom = mark.line_xyxy
    total = mark.line_px + 2 * mark.casing_px
    cut: NDArray[np.uint8] = drawn[bottom : bottom + total + 1, (x1 + x2) // 2][::-1]
    return cut


def _rgb(pixel: NDArray[np.uint8]) -> Rgb:
    return int(pixel[0]), int(pixel[1]), int(pixel[2])


def measure_times(style: MarkStyle, pictures: int) -> dict[str, float]:
    """Median milliseconds to lay out, draw and mask ten marks."""
    rng = random.Random(0)
    picture = np.asarray(Image.effect_noise(TIMED_WH, 60).convert("RGB"))
    times: dict[str, list[float]] = {"layout_ms": [], "draw_ms": [], "ink_ms": []}
    for _ in range(pictures):
        boxes = random_boxes(rng, TIMED_BOXES, TIMED_WH)
        stamps = [time.perf_counter()]
        marks = lay_out(style, TIMED_WH, boxes)
        stamps.append(time.perf_counter())
        style.draw(picture, marks)
        stamps.append(time.perf_counter())
        style.ink(TIMED_WH, marks)
        stamps.append(time.perf_counter())
        for name, (start, end) in zip(times, itertools.pairwise(stamps), strict=True):
            times[name].append(1000 * (end - start))
    return {name: statistics.median(values) for name, values in times.items()}


def measure(style: MarkStyle, pictures: int) -> dict[str, Any]:
    """All figures of one style."""
    return {
        "placement": {str(n): measure_placement(style, n, pictures) for n in COUNTS},
        "looks": measure_looks(style),
        "times": measure_times(style, pictures),
    }


def show(name: str, figures: dict[str, Any]) -> None:
    print(f"\n{name}")
    print("  boxes  tags touching  boxes >30% hidden  tags outside  with leader")
    for count, row in figures["placement"].items():
        print(
            f"  {count:>5}  {row['tags_touching_pct']:>12.1f}%  {row['boxes_hidden_pct']:>16.1f}%"
            f"  {row['tags_outside_pct']:>11.1f}%  {row['leaders_pct']:>10.1f}%"
        )
    looks, times = figures["looks"], figures["times"]
    print(f"  contrast of digits to tag, lowest          {looks['text_contrast_min']:.2f}:1")
    print(f"  contrast of line to ground, lowest of 256  {looks['line_contrast_min']:.2f}:1")
    for eye in EYES:
        apart = looks[f"colour_difference_min_{eye}"]
        shown = "one colour for all" if apart is None else f"{apart:.1f}"
        print(f"  CIEDE2000 of two marks, smallest, {eye:<12} {shown}")
    print(
        f"  {TIMED_BOXES} marks on {TIMED_WH[0]}x{TIMED_WH[1]}, median ms: "
        f"layout {times['layout_ms']:.2f}, draw {times['draw_ms']:.2f}, ink {times['ink_ms']:.2f}"
    )


def main() -> None:
    parser = argparse.ArgumentParser(description=__doc__.splitlines()[0])
    parser.add_argument("--json", action="store_true", help="print the figures as JSON")
    parser.add_argument("--pictures", type=int, default=200, help="layouts per row (default 200)")
    options = parser.parse_args()
    report = {name: measure(style, options.pictures) for name, style in STYLES.items()}
    if options.json:
        print(json.dumps(report, indent=2))
        return
    for name, figures in report.items():
        show(name, figures)


if __name__ == "__main__":
    as_command(main)
