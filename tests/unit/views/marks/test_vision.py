"""How far apart colours look, by published values."""

from __future__ import annotations

import numpy as np
import pytest

from tests.support.vision import EYES, ciede2000, difference


@pytest.mark.parametrize(
    ("a", "b", "expected"),
    [
        # Pairs 1, 7, 8, 9, 14, 17, 20, 25, 34 of the test data of Sharma, Wu and Dalal 2005.
        ((50.0, 2.6772, -79.7751), (50.0, 0.0, -82.7485), 2.0425),
        ((50.0, 0.0, 0.0), (50.0, -1.0, 2.0), 2.3669),
        ((50.0, -1.0, 2.0), (50.0, 0.0, 0.0), 2.3669),
        ((50.0, 2.49, -0.001), (50.0, -2.49, 0.0009), 7.1792),
        ((50.0, -0.001, 2.49), (50.0, 0.0011, -2.49), 4.7461),
        ((50.0, 2.5, 0.0), (73.0, 25.0, -18.0), 27.1492),
        ((50.0, 2.5, 0.0), (58.0, 24.0, 15.0), 19.4535),
        ((60.2574, -34.0099, 36.2677), (60.4626, -34.1751, 39.4387), 1.2644),
        ((2.0776, 0.0795, -1.135), (0.9033, -0.0636, -0.5514), 0.9082),
    ],
)
def test_ciede2000_gives_the_published_values(
    a: tuple[float, ...], b: tuple[float, ...], expected: float
) -> None:
    assert ciede2000(np.array(a), np.array(b)) == pytest.approx(expected, abs=1e-4)


@pytest.mark.parametrize("eye", [eye for eye in EYES if eye != "normal"])
def test_red_and_green_come_closer_for_colour_blind_eyes(eye: str) -> None:
    red, green = (200, 60, 40), (100, 130, 40)
    assert difference(red, green, eye) < difference(red, green) / 2


@pytest.mark.parametrize("eye", EYES)
def test_greys_look_the_same_to_all(eye: str) -> None:
    dark, light = (80, 80, 80), (180, 180, 180)
    assert difference(dark, light, eye) == pytest.approx(difference(dark, light), abs=0.05)
