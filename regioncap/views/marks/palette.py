"""Ten colours that people and models call by the same names, and who gets which.

The colours were found by a search inside hue bands that carry one plain name each, for the
largest smallest CIEDE2000 difference over normal, deuteranopic and protanopic sight.
"""

from __future__ import annotations

from collections.abc import Sequence
from dataclasses import dataclass
from functools import cache

import numpy as np
from numpy.typing import NDArray

from regioncap.views.marks.base import Rect, Rgb
from regioncap.views.marks.vision import EYES, contrast, difference

BLACK: Rgb = (0, 0, 0)
WHITE: Rgb = (255, 255, 255)


@dataclass(frozen=True, slots=True)
class Colour:
    """A colour and its plain name."""

    name: str
    rgb: Rgb


PALETTE: tuple[Colour, ...] = (
    Colour("red", (0xC1, 0x13, 0x18)),
    Colour("blue", (0x13, 0x57, 0xB3)),
    Colour("yellow", (0xFD, 0xEF, 0x3E)),
    Colour("green", (0x0E, 0x81, 0x4C)),
    Colour("magenta", (0xF0, 0x21, 0xE9)),
    Colour("cyan", (0x30, 0xED, 0xF2)),
    Colour("orange", (0xE3, 0x61, 0x07)),
    Colour("purple", (0x54, 0x19, 0x81)),
    Colour("lime", (0x86, 0xCE, 0x11)),
    Colour("pink", (0xFC, 0xAE, 0xC1)),
)


@cache
def text_rgb(ground: Rgb) -> Rgb:
    """Black or white, whichever stands out more; at least 4.58:1 on any ground."""
    return max(BLACK, WHITE, key=lambda ink: contrast(ink, ground))


@cache
def likeness() -> NDArray[np.float64]:
    """How hard two colours of the palette are to tell apart.

    Returns:
        Array (10, 10): one over the squared difference, as the eye sees them that sees the least.
    """
    table = np.empty((len(PALETTE), len(PALETTE)))
    for i, a in enumerate(PALETTE):
        for j, b in enumerate(PALETTE):
            apart = min(difference(a.rgb, b.rgb, eye) for eye in EYES)
            table[i, j] = 1.0 / max(apart, 1.0) ** 2
    return table


@cache
def _likeness_rows() -> list[list[float]]:
    rows: list[list[float]] = likeness().tolist()
    return rows


def assign_colours(boxes_xyxy: Sequence[Rect], near_px: int) -> list[Colour]:
    """Gives every box a colour, in order, the least used first.

    Among those, a box gets the one that is least like the colours of the boxes it overlaps or
    lies near to; with no such neighbour, the first of the palette. Up to ten boxes all get
    different colours.

    Args:
        boxes_xyxy: N boxes, pixels.
        near_px: Boxes closer than this are neighbours.

    Returns:
        N colours.
    """
    alike = _likeness_rows()
    used = [0] * len(PALETTE)
    chosen: list[int] = []
    for i, box in enumerate(boxes_xyxy):
        clash = [0.0] * len(PALETTE)
        for other, colour in zip(boxes_xyxy[:i], chosen, strict=True):
            if _are_near(box, other, near_px):
                clash = [a + b for a, b in zip(clash, alike[colour], strict=True)]
        least = min(used)
        free = [colour for colour, times in enumerate(used) if times == least]
        chosen.append(min(free, key=clash.__getitem__))
        used[chosen[-1]] += 1
    return [PALETTE[colour] for colour in chosen]


def _are_near(a: Rect, b: Rect, near_px: int) -> bool:
    return (
        a[0] - near_px < b[2]
        and a[1] - near_px < b[3]
        and a[2] + near_px > b[0]
        and a[3] + near_px > b[1]
    )
