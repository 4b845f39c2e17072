"""How far apart two colours are for whom: what the table of the palette was computed with.

Sources: Sharma, Wu and Dalal 2005, "The CIEDE2000 Color-Difference Formula"; Machado, Oliveira and
Fernandes 2009, "A Physiologically-based Model for Simulation of Color Vision Deficiency" (severity
1.0).
"""

from __future__ import annotations

import math

import numpy as np
from numpy.typing import NDArray

from regioncap.views.marks.base import Rgb

Floats = NDArray[np.float64]

_XYZ = np.array(
    [
        [0.4124564, 0.3575761, 0.1804375],
        [0.2126729, 0.7151522, 0.0721750],
        [0.0193339, 0.1191920, 0.9503041],
    ]
)
_WHITE_D65 = np.array([0.95047, 1.0, 1.08883])

#: What each kind of eye makes of linear RGB.
EYES: dict[str, Floats] = {
    "normal": np.eye(3),
    "deuteranopia": np.array(
        [
            [0.367322, 0.860646, -0.227968],
            [0.280085, 0.672501, 0.047413],
            [-0.011820, 0.042940, 0.968881],
        ]
    ),
    "protanopia": np.array(
        [
            [0.152286, 1.052583, -0.204868],
            [0.114503, 0.786281, 0.099216],
            [-0.003882, -0.048116, 1.051998],
        ]
    ),
}


def linear(rgb: Rgb) -> Floats:
    """Linear light of an sRGB colour, three values from 0 to 1."""
    share = np.array(rgb, dtype=np.float64) / 255.0
    return np.where(share <= 0.04045, share / 12.92, ((share + 0.055) / 1.055) ** 2.4)


def difference(a: Rgb, b: Rgb, eye: str = "normal") -> float:
    """CIEDE2000 difference of two colours as an eye of `EYES` sees them."""
    return ciede2000(_lab(a, EYES[eye]), _lab(b, EYES[eye]))


def _lab(rgb: Rgb, eye: Floats) -> Floats:
    xyz = _XYZ @ np.clip(eye @ linear(rgb), 0.0, 1.0) / _WHITE_D65
    f = np.where(xyz > 216 / 24389, np.cbrt(xyz), (24389 / 27 * xyz + 16) / 116)
    return np.array([116 * f[1] - 16, 500 * (f[0] - f[1]), 200 * (f[1] - f[2])])


def ciede2000(lab_a: Floats, lab_b: Floats) -> float:
    """CIEDE2000 difference of two CIELAB colours (L, a, b), all weights 1."""
    l1, a1, b1 = (float(v) for v in lab_a)
    l2, a2, b2 = (float(v) for v in lab_b)
    chroma7 = ((math.hypot(a1, b1) + math.hypot(a2, b2)) / 2) ** 7
    stretch = 1 + 0.5 * (1 - math.sqrt(chroma7 / (chroma7 + 25**7)))
    c1, c2 = math.hypot(a1 * stretch, b1), math.hypot(a2 * stretch, b2)
    h1 = math.degrees(math.atan2(b1, a1 * stretch)) % 360
    h2 = math.degrees(math.atan2(b2, a2 * stretch)) % 360
    turn, h_mean = _hues(h1, h2, grey=c1 * c2 == 0)
    c_mean, l_off = (c1 + c2) / 2, ((l1 + l2) / 2 - 50) ** 2
    d_l = (l2 - l1) / (1 + 0.015 * l_off / math.sqrt(20 + l_off))
    d_c = (c2 - c1) / (1 + 0.045 * c_mean)
    d_h = 2 * math.sqrt(c1 * c2) * math.sin(math.radians(turn / 2))
    d_h /= 1 + 0.015 * c_mean * _hue_weight(h_mean)
    rotation = -2 * math.sqrt(c_mean**7 / (c_mean**7 + 25**7))
    rotation *= math.sin(math.radians(60 * math.exp(-(((h_mean - 275) / 25) ** 2))))
    return math.sqrt(d_l**2 + d_c**2 + d_h**2 + rotation * d_c * d_h)


def _hues(h1: float, h2: float, *, grey: bool) -> tuple[float, float]:
    """Signed difference and mean of two hues in degrees, the short way round."""
    if grey:
        return 0.0, h1 + h2
    turn = (h2 - h1 + 180) % 360 - 180
    return turn, (h1 + turn / 2) % 360


def _hue_weight(h: float) -> float:
    return (
        1
        - 0.17 * math.cos(math.radians(h - 30))
        + 0.24 * math.cos(math.radians(2 * h))
        + 0.32 * math.cos(math.radians(3 * h + 6))
        - 0.20 * math.cos(math.radians(4 * h - 63))
    )
