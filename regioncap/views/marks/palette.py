"""The palette: ten colours that people and models call by the same names, and which box gets which.

The colours were found by a search inside hue bands that carry one plain name each, for the
largest smallest CIEDE2000 difference over normal, deuteranopic and protanopic sight. Contrast is
that of WCAG 2.2.
"""

from __future__ import annotations

from collections.abc import Sequence
from dataclasses import dataclass
from functools import cache

from regioncap.views.boxes import Rect, intersection_xyxy
from regioncap.views.marks.base import Rgb, grow

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


#: How far each colour is from those before it in the palette (CIEDE2000), for the eye that tells
#: the two least well; a test computes it.
APART: tuple[tuple[float, ...], ...] = (
    (),
    (44.83,),
    (37.31, 73.55),
    (13.04, 42.72, 36.37),
    (40.00, 10.45, 62.94, 41.44),
    (50.82, 42.30, 39.19, 37.48, 19.16),
    (15.13, 52.64, 23.18, 10.21, 48.73, 46.10),
    (39.85, 9.75, 84.88, 42.50, 24.44, 55.98, 55.09),
    (25.53, 67.43, 9.72, 27.76, 57.14, 37.14, 10.85, 75.41),
    (35.52, 37.28, 26.50, 30.55, 28.21, 10.25, 27.79, 54.30, 24.10),
)


def contrast(a: Rgb, b: Rgb) -> float:
    """Contrast ratio: 1 for like colours, 21 for black on white."""
    low, high = sorted((luminance(a), luminance(b)))
    return (high + 0.05) / (low + 0.05)


def luminance(rgb: Rgb) -> float:
    """Relative luminance: 0 for black, 1 for white."""
    red, green, blue = (_linear(level / 255) for level in rgb)
    return 0.2126 * red + 0.7152 * green + 0.0722 * blue


def _linear(share: float) -> float:
    return share / 12.92 if share <= 0.04045 else float(((share + 0.055) / 1.055) ** 2.4)


@cache
def text_rgb(ground: Rgb) -> Rgb:
    """Black or white, whichever stands out more; at least 4.58:1 on any ground."""
    return max(BLACK, WHITE, key=lambda ink: contrast(ink, ground))


def likeness(a: int, b: int) -> float:
    """How hard two colours of the palette are to tell apart; 1 for a colour and itself."""
    return 1.0 if a == b else 1 / APART[max(a, b)][min(a, b)] ** 2


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
    used = [0] * len(PALETTE)
    chosen: list[int] = []
    for i, box in enumerate(boxes_xyxy):
        around = grow(box, near_px)
        coloured = zip(boxes_xyxy[:i], chosen, strict=True)
        near = [colour for other, colour in coloured if intersection_xyxy(around, other)]
        free = [colour for colour, times in enumerate(used) if times == min(used)]
        chosen.append(min(free, key=lambda c: sum(likeness(other, c) for other in near)))
        used[chosen[-1]] += 1
    return [PALETTE[colour] for colour in chosen]
