"""What the regions of made scenes hold: colours, shapes, words, countable dots, patches; pure.

Things of one kind can be told apart by their words alone.
"""

from __future__ import annotations

from collections.abc import Callable
from dataclasses import dataclass
from functools import partial
from random import Random
from typing import Literal, get_args

import numpy as np
from PIL import Image, ImageDraw, ImageFont, ImageOps

from regioncap.evaluation.patches import patches
from regioncap.evaluation.truth import Truth
from regioncap.views.boxes import Rect
from regioncap.views.marks.base import Rgb

Content = Literal["colours", "shapes", "words", "counts", "patches"]
CONTENTS: tuple[Content, ...] = get_args(Content)

Paint = Callable[[Image.Image, Rect], None]

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
#: What a shape leaves free at each side of its box, as a share of it.
_MARGIN = 0.06
_COUNTS = {2: "two 2 pair", 3: "three 3", 4: "four 4", 5: "five 5", 6: "six 6"}


@dataclass(frozen=True, slots=True)
class Thing:
    """Something to paint into a region, and its name."""

    truth: Truth
    #: Paints into a box (xyxy) of a picture.
    paint: Paint


def _colours() -> list[Thing]:
    return [Thing(Truth.of(name), partial(_paint_colour, rgb)) for name, rgb in _COLOURS.items()]


def _paint_colour(rgb: Rgb, image: Image.Image, box: Rect) -> None:
    image.paste(rgb, box)


def _shapes() -> list[Thing]:
    return [
        Thing(Truth.of(colour, shape), partial(_paint_shape, shape.split()[0], rgb))
        for shape in _SHAPES
        for colour, rgb in _COLOURS.items()
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


def _paint_shape(name: str, rgb: Rgb, image: Image.Image, box: Rect) -> None:
    draw = ImageDraw.Draw(image)
    dx, dy = int((box[2] - box[0]) * _MARGIN), int((box[3] - box[1]) * _MARGIN)
    x1, y1, x2, y2 = box[0] + dx, box[1] + dy, box[2] - dx - 1, box[3] - dy - 1
    edge = "white" if sum(rgb) < 330 else "black"
    line = max(2, (x2 - x1) // 40)
    if name in _POLYGONS:
        corners = [(x1 + u * (x2 - x1), y1 + v * (y2 - y1)) for u, v in _POLYGONS[name]]
        draw.polygon(corners, fill=rgb, outline=edge, width=line)
    elif name == "ring":
        draw.ellipse((x1, y1, x2, y2), outline=rgb, width=max(4, (x2 - x1) // 5))
    else:
        draw.ellipse((x1, y1, x2, y2), fill=rgb, outline=edge, width=line)


def _words() -> list[Thing]:
    return [Thing(Truth.of(word), partial(_paint_word, word)) for word in _WORDS]


def _paint_word(word: str, image: Image.Image, box: Rect) -> None:
    image.paste("white", box)
    size = min((box[2] - box[0]) / (0.75 * len(word)), (box[3] - box[1]) / 1.3)
    middle = ((box[0] + box[2]) / 2, (box[1] + box[3]) / 2)
    font = ImageFont.load_default(size)
    ImageDraw.Draw(image).text(middle, word, fill="black", font=font, anchor="mm")


def _counts() -> list[Thing]:
    return [
        Thing(Truth.of(words, colour), partial(_paint_dots, count, rgb))
        for count, words in _COUNTS.items()
        for colour, rgb in _COLOURS.items()
        if colour != "white"
    ]


def _paint_dots(count: int, rgb: Rgb, image: Image.Image, box: Rect) -> None:
    draw = ImageDraw.Draw(image)
    image.paste("white", box)
    columns, rows = (3, 2) if box[2] - box[0] > box[3] - box[1] else (2, 3)
    wide, high = (box[2] - box[0]) / columns, (box[3] - box[1]) / rows
    radius = 0.32 * min(wide, high)
    for i in range(count):
        x = box[0] + wide * (i % columns + 0.5)
        y = box[1] + high * (i // columns + 0.5)
        draw.ellipse((x - radius, y - radius, x + radius, y + radius), fill=rgb)


def _patches() -> list[Thing]:
    return [Thing(Truth.of(words), partial(_paint_patch, image)) for words, image in patches()]


def _paint_patch(patch: Image.Image, image: Image.Image, box: Rect) -> None:
    size_wh = (box[2] - box[0], box[3] - box[1])
    image.paste(ImageOps.fit(patch, size_wh, Image.Resampling.BICUBIC), box[:2])


_THINGS: dict[Content, Callable[[], list[Thing]]] = {
    "colours": _colours,
    "shapes": _shapes,
    "words": _words,
    "counts": _counts,
    "patches": _patches,
}


def things_of(content: Content, random: Random) -> list[Thing]:
    """All things of a kind, no two alike, in an order that `random` decides."""
    things = _THINGS[content]()
    return random.sample(things, len(things))
