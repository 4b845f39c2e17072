"""Every colour has the name that people give it."""

from __future__ import annotations

import numpy as np
import pytest
from hypothesis import given
from hypothesis import strategies as st
from PIL import ImageColor

from regioncap.engines.looks.colours import FAMILIES, FAMILY_OF_NAME, NAMES, VIVID, name_numbers


def name_of(rgb: tuple[int, ...]) -> str:
    return NAMES[int(name_numbers(np.array(rgb[:3], dtype=np.uint8)))]


@pytest.mark.parametrize(
    ("css", "name"),
    [
        ("black", "black"),
        ("white", "white"),
        ("gray", "grey"),
        ("silver", "light grey"),
        ("#404040", "dark grey"),
        ("red", "red"),
        ("darkred", "dark red"),
        ("pink", "pink"),
        ("hotpink", "pink"),
        ("orange", "orange"),
        ("saddlebrown", "brown"),
        ("#3d2b1f", "dark brown"),
        ("tan", "tan"),
        ("beige", "cream"),
        ("yellow", "yellow"),
        ("olive", "olive"),
        ("green", "green"),
        ("darkgreen", "dark green"),
        ("lightgreen", "light green"),
        ("teal", "teal"),
        ("turquoise", "turquoise"),
        ("cyan", "cyan"),
        ("skyblue", "light blue"),
        ("blue", "blue"),
        ("navy", "dark blue"),
        ("slategray", "blue-grey"),
        ("purple", "purple"),
        ("indigo", "dark purple"),
        ("magenta", "magenta"),
    ],
)
def test_name_of__everyday_colours(css: str, name: str) -> None:
    assert name_of(ImageColor.getrgb(css)) == name


@given(st.integers(0, 255))
def test_name_of__equal_channels_have_no_hue(value: int) -> None:
    assert name_of((value, value, value)) in {"black", "dark grey", "grey", "light grey", "white"}


def test_name_numbers__every_colour_is_named_by_a_row_that_fits() -> None:
    axis = np.arange(0, 256, 17, dtype=np.uint8)
    cube = np.stack(np.meshgrid(axis, axis, axis), axis=-1)

    numbers = name_numbers(cube)

    assert numbers.shape == cube.shape[:-1]
    assert numbers.max() < len(NAMES)
    # 0 is also what a colour that no row fits would get: every black must be dark.
    assert cube[numbers == NAMES.index("black")].max() <= 85


def test_families() -> None:
    assert set(FAMILIES) > VIVID
    assert len(FAMILY_OF_NAME) == len(NAMES)
    assert FAMILIES[FAMILY_OF_NAME[NAMES.index("tan")]] == "brown"
