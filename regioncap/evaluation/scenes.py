"""Scenes: pictures whose regions are known.

Most are made: patches of colour, shapes, words and countable things, drawn on pieces of
photographs, so that the ground is as busy as in life. The same seed makes the same scenes.
"""

from __future__ import annotations

import json
from collections.abc import Callable, Iterator, Sequence
from dataclasses import dataclass
from functools import cache
from pathlib import Path
from random import Random
from typing import Any, Literal, get_args

import numpy as np
from PIL import Image, ImageDraw, ImageFont

from regioncap import examples
from regioncap.boxes import Size
from regioncap.errors import RecordError, UsageError
from regioncap.evaluation.layouts import LAYOUTS, Layout, place
from regioncap.evaluation.truth import Truth
from regioncap.images import decode, encode_jpeg
from regioncap.marks.base import Rect

Content = Literal["colours", "shapes", "words", "counts"]
CONTENTS: tuple[Content, ...] = get_args(Content)

#: Larger than what a model sees, so that a crop has more to show.
SIZE_WH: Size = (1792, 1344)

Rgb = tuple[int, int, int]
_COLOURS: dict[str, Rgb] = {
    "red": (214, 22, 28),
    "blue": (28, 70, 214),
    "green": (22, 140, 50),
    "yellow": (250, 218, 30),
    "orange": (245, 130, 16),
    "purple violet": (112, 38, 150),
    "pink rose": (250, 150, 190),
    "brown": (112, 66, 30),
    "black": (10, 10, 10),
    "white": (252, 252, 252),
    "turquoise cyan teal aqua": (20, 180, 185),
    "grey gray": (128, 128, 128),
}
_SHAPES = (
    "circle disc disk round dot ball oval ellipse", "triangle triangular", "star", "cross plus",
    "diamond rhombus", "ring donut doughnut annulus", "arrow", "heart",
)  # fmt: skip
_WORDS = (
    "HOTEL", "BREAD", "RIVER", "MUSIC", "LEMON", "TIGER", "CLOUD", "PIANO", "STONE", "OCEAN",
    "MAPLE", "ROBOT", "CANDLE", "WINTER", "GARDEN", "SILVER", "BRIDGE", "ROCKET",
)  # fmt: skip
_COUNTS = {2: "two 2 pair", 3: "three 3", 4: "four 4", 5: "five 5", 6: "six 6"}


@dataclass(frozen=True, slots=True)
class Scene:
    """A picture and what its regions hold."""

    name: str
    #: What kind of scene it is, for sums by kind.
    kind: str
    #: The encoded picture.
    image: bytes
    #: Boxes as xywh in pixels of the picture, upright.
    boxes_xywh: list[list[float]]
    truths: list[Truth]


def kinds() -> list[tuple[Content, Layout]]:
    """All kinds of scenes that make sense: what is half covered can be neither read nor counted."""
    return [
        (content, layout)
        for content in CONTENTS
        for layout in LAYOUTS
        if layout != "overlapping" or content in {"colours", "shapes"}
    ]


def make_scene(content: Content, layout: Layout, count: int, seed: int) -> Scene:
    """Makes a scene.

    No two of its regions hold the same.

    Args:
        content: What its regions hold.
        layout: How they lie.
        count: How many there are, at most: fewer where no more fit, or are to be told apart.
        seed: Another seed makes another scene.
    """
    random = Random(f"{content} {layout} {count} {seed}")  # noqa: S311 # no secret
    image = _ground(random)
    things = _THINGS[content](random)
    boxes = place(layout, min(count, len(things)), SIZE_WH, random)
    draw = ImageDraw.Draw(image)
    for box, thing in zip(boxes, things, strict=False):
        thing.paint(draw, box)
    order = random.sample(range(len(boxes)), len(boxes))
    return Scene(
        name=f"{content}-{layout}-{seed}",
        kind=f"{content}, {layout}",
        image=encode_jpeg(image),
        boxes_xywh=[_xywh(boxes[i]) for i in order],
        truths=[things[i].truth for i in order],
    )


def _xywh(box: Rect) -> list[float]:
    return [box[0], box[1], box[2] - box[0], box[3] - box[1]]


@dataclass(frozen=True, slots=True)
class _Thing:
    truth: Truth
    paint: Callable[[ImageDraw.ImageDraw, Rect], None]


def _colours(random: Random) -> list[_Thing]:
    names = random.sample(list(_COLOURS), len(_COLOURS))
    return [_Thing(Truth.of(name), _fill(_COLOURS[name])) for name in names]


def _fill(rgb: Rgb) -> Callable[[ImageDraw.ImageDraw, Rect], None]:
    return lambda draw, box: draw.rectangle((box[0], box[1], box[2] - 1, box[3] - 1), fill=rgb)


def _shapes(random: Random) -> list[_Thing]:
    pairs = [(shape, colour) for shape in _SHAPES for colour in _COLOURS]
    return [
        _Thing(Truth.of(colour, shape), _shape(shape.split()[0], _COLOURS[colour]))
        for shape, colour in random.sample(pairs, len(pairs))
    ]


#: Corners of shapes in a square from 0 to 1.
_POLYGONS: dict[str, tuple[tuple[float, float], ...]] = {
    "triangle": ((0.5, 0), (1, 1), (0, 1)),
    "star": tuple(
        (0.5 + r * float(np.sin(a)), 0.5 - r * float(np.cos(a)))
        for a, r in zip(np.arange(10) * np.pi / 5, [0.5, 0.2] * 5, strict=True)
    ),
    "cross": (
        (0.35, 0), (0.65, 0), (0.65, 0.35), (1, 0.35), (1, 0.65), (0.65, 0.65),
        (0.65, 1), (0.35, 1), (0.35, 0.65), (0, 0.65), (0, 0.35), (0.35, 0.35),
    ),
    "diamond": ((0.5, 0), (1, 0.5), (0.5, 1), (0, 0.5)),
    "arrow": (
        (0, 0.35), (0.55, 0.35), (0.55, 0.05), (1, 0.5), (0.55, 0.95), (0.55, 0.65), (0, 0.65),
    ),
    "heart": tuple(
        (0.5 + float(np.sin(t) ** 3) / 2, 0.44 - float(
            13 * np.cos(t) - 5 * np.cos(2 * t) - 2 * np.cos(3 * t) - np.cos(4 * t)) / 30)
        for t in np.linspace(0, 2 * np.pi, 60)
    ),
}  # fmt: skip


def _shape(name: str, rgb: Rgb) -> Callable[[ImageDraw.ImageDraw, Rect], None]:
    def paint(draw: ImageDraw.ImageDraw, box: Rect) -> None:
        x1, y1, x2, y2 = _inset(box, 0.06)
        edge = "white" if sum(rgb) < 330 else "black"
        line = max(2, (x2 - x1) // 40)
        if name in _POLYGONS:
            corners = [(x1 + u * (x2 - x1), y1 + v * (y2 - y1)) for u, v in _POLYGONS[name]]
            draw.polygon(corners, fill=rgb, outline=edge, width=line)
        elif name == "ring":
            draw.ellipse((x1, y1, x2, y2), outline=rgb, width=max(4, (x2 - x1) // 5))
        else:
            draw.ellipse((x1, y1, x2, y2), fill=rgb, outline=edge, width=line)

    return paint


def _words(random: Random) -> list[_Thing]:
    return [
        _Thing(Truth.of(word), _word(word)) for word in random.sample(list(_WORDS), len(_WORDS))
    ]


def _word(word: str) -> Callable[[ImageDraw.ImageDraw, Rect], None]:
    def paint(draw: ImageDraw.ImageDraw, box: Rect) -> None:
        draw.rectangle((box[0], box[1], box[2] - 1, box[3] - 1), fill="white")
        size = min((box[2] - box[0]) / (0.75 * len(word)), (box[3] - box[1]) / 1.3)
        middle = ((box[0] + box[2]) / 2, (box[1] + box[3]) / 2)
        font = ImageFont.load_default(size)
        draw.text(middle, word, fill="black", font=font, anchor="mm")

    return paint


def _counts(random: Random) -> list[_Thing]:
    pairs = [(count, colour) for count in _COUNTS for colour in _COLOURS if colour != "white"]
    return [
        _Thing(Truth.of(_COUNTS[count], colour), _dots(count, _COLOURS[colour]))
        for count, colour in random.sample(pairs, len(pairs))
    ]


def _dots(count: int, rgb: Rgb) -> Callable[[ImageDraw.ImageDraw, Rect], None]:
    def paint(draw: ImageDraw.ImageDraw, box: Rect) -> None:
        draw.rectangle((box[0], box[1], box[2] - 1, box[3] - 1), fill="white")
        columns, rows = (3, 2) if box[2] - box[0] > box[3] - box[1] else (2, 3)
        wide, high = (box[2] - box[0]) / columns, (box[3] - box[1]) / rows
        radius = 0.32 * min(wide, high)
        for i in range(count):
            x = box[0] + wide * (i % columns + 0.5)
            y = box[1] + high * (i // columns + 0.5)
            draw.ellipse((x - radius, y - radius, x + radius, y + radius), fill=rgb)

    return paint


_THINGS: dict[Content, Callable[[Random], list[_Thing]]] = {
    "colours": _colours,
    "shapes": _shapes,
    "words": _words,
    "counts": _counts,
}


def _inset(box: Rect, share: float) -> Rect:
    dx, dy = int((box[2] - box[0]) * share), int((box[3] - box[1]) * share)
    return box[0] + dx, box[1] + dy, box[2] - dx - 1, box[3] - dy - 1


def _ground(random: Random) -> Image.Image:
    """A piece of an example photograph, enlarged, and paled so that what is drawn stands out."""
    photo = _photos()[random.randrange(len(_photos()))]
    wide = min(photo.width, int(photo.height * SIZE_WH[0] / SIZE_WH[1]))
    high = int(wide * SIZE_WH[1] / SIZE_WH[0])
    scale = random.uniform(0.5, 1)
    wide, high = int(wide * scale), int(high * scale)
    left, top = random.randint(0, photo.width - wide), random.randint(0, photo.height - high)
    piece = photo.crop((left, top, left + wide, top + high))
    piece = piece.resize(SIZE_WH, Image.Resampling.BICUBIC)
    return Image.blend(piece, Image.new("RGB", SIZE_WH, (205, 200, 190)), 0.35)


@cache
def _photos() -> list[Image.Image]:
    files = sorted((examples.examples_dir() / "photos").glob("*.jpg"))
    return [decode(file.read_bytes()).image for file in files]


def photographs() -> Iterator[Scene]:
    """The example photographs whose regions are named."""
    return own_data(examples.photos_jsonl(), kind="photographs")


def own_data(file: Path, kind: str = "own data") -> Iterator[Scene]:
    """Pictures with reference captions.

    Args:
        file: JSON Lines with `image` (relative to the file), `bbox` ([[x, y, w, h], ...]) and
            `captions` (or `things`), one for each box.
        kind: What the sums call them.

    Raises:
        UsageError: The file or an image cannot be read, or boxes and captions do not match.
    """
    try:
        lines = file.read_text("utf-8").splitlines()
        for number, line in enumerate(lines, start=1):
            if line.strip():
                fields = json.loads(line)
                if fields.get("bbox"):
                    yield _own_scene(file, f"{file.name}:{number}", fields, kind)
    except (OSError, ValueError, RecordError) as error:
        raise UsageError(f"{file}: {error}", code="bad-eval-data", hint=_OWN_HINT) from error


_OWN_HINT = "each line has image, bbox ([[x, y, w, h], ...]) and captions, one for each box"


def _own_scene(file: Path, name: str, fields: dict[str, Any], kind: str) -> Scene:
    captions: Sequence[str] = fields.get("captions") or fields.get("things") or ()
    if len(captions) != len(fields["bbox"]):
        raise ValueError(f"{name}: {len(fields['bbox'])} boxes, {len(captions)} captions")
    known = [
        (box, truth)
        for box, caption in zip(fields["bbox"], captions, strict=True)
        if (truth := Truth.of_reference(caption)) is not None
    ]
    image = (file.parent / fields["image"]).read_bytes()
    return Scene(name, kind, image, [box for box, _ in known], [truth for _, truth in known])
