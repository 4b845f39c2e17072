"""The baseline's sentences say what was measured, in one form, and the same each time."""

from __future__ import annotations

import re

import numpy as np
import pytest
from hypothesis import given
from hypothesis import strategies as st
from numpy.typing import NDArray
from PIL import Image

from regioncap.engines.looks import Measured, describe
from regioncap.engines.looks.colours import NAMES
from regioncap.engines.looks.places import place, shape, share
from regioncap.views.boxes import Rect

COLOUR = rf"(?:{'|'.join(NAMES)})"
FAMILY = "[a-z]+"
SENTENCE = re.compile(
    r"a (?:tall |wide )?(?:very dark|dark|medium-bright|bright|very bright|high-contrast) region, "
    rf"(?:mostly {COLOUR}(?: and {COLOUR})?|mostly shades of {FAMILY}(?: and {FAMILY})?"
    rf"|in many colours, among them {FAMILY} and {FAMILY})(?: with some {FAMILY})?, "
    r"with (?:a (?:smooth|mostly smooth) surface|smooth and detailed parts|much detail"
    r"|a (?:fine|coarse|strong) texture), "
    r"(?:in|at|on|across|down|over|over nearly|over most of) the [a-z]+(?: [a-z]+)?, "
    r"(?:about \d+|less than 1) % of the picture"
)


@st.composite
def looks(draw: st.DrawFn) -> tuple[Measured, Rect]:
    """A picture of noise in a few tones, with or without ink, and a box in it."""
    width, height = draw(st.integers(1, 90)), draw(st.integers(1, 90))
    rng = np.random.default_rng(draw(st.integers(0, 2**32 - 1)))
    low, high = sorted((draw(st.integers(0, 255)), draw(st.integers(0, 255))))
    rgb = rng.integers(low, high + 1, (height, width, 3), dtype=np.uint8)
    ink = rng.random((height, width)) < draw(st.sampled_from([0, 0.5, 1]))
    x1, y1 = draw(st.integers(0, width - 1)), draw(st.integers(0, height - 1))
    x2, y2 = draw(st.integers(x1 + 1, width)), draw(st.integers(y1 + 1, height))
    return Measured.from_image(Image.fromarray(rgb), ink), (x1, y1, x2, y2)


@given(looks())
def test_describe__has_one_form_for_every_region(look: tuple[Measured, Rect]) -> None:
    assert re.fullmatch(SENTENCE, describe(*look)), describe(*look)


@given(looks())
def test_describe__is_deterministic(look: tuple[Measured, Rect]) -> None:
    assert describe(*look) == describe(*look)


@given(st.sampled_from([(200, 30, 30), (240, 240, 235), (20, 40, 120)]), st.integers(0, 2**32 - 1))
def test_describe__does_not_measure_ink(rgb: tuple[int, int, int], seed: int) -> None:
    plain = np.full((64, 64, 3), rgb, dtype=np.uint8)
    ink = np.random.default_rng(seed).random((64, 64)) < 0.8
    inked = plain.copy()
    inked[ink] = (0, 255, 0)
    box = (8, 8, 60, 60)

    described = describe(Measured.from_image(Image.fromarray(inked), ink), box)

    assert described == describe(Measured.from_image(Image.fromarray(plain)), box)


def test_describe__falls_back_on_all_pixels_under_ink_alone() -> None:
    red = Image.new("RGB", (40, 40), (200, 20, 20))
    assert "mostly red" in describe(Measured.from_image(red, np.ones((40, 40), np.bool_)))


def checkered(cell_px: int) -> NDArray[np.uint8]:
    rows, columns = np.indices((300, 300)) // cell_px
    return np.where((rows + columns) % 2, 90, 150).astype(np.uint8)


def noise(spread: int) -> NDArray[np.uint8]:
    return np.random.default_rng(3).integers(128 - spread, 129 + spread, (300, 300), dtype=np.uint8)


@pytest.mark.parametrize(
    ("grey", "words"),
    [
        (noise(1), "a smooth surface"),
        (np.linspace(0, 255, 300).astype(np.uint8)[:, None].repeat(300, 1), "a smooth surface"),
        (noise(25), "a fine texture"),
        (noise(90), "a strong texture"),
        (checkered(7), "much detail"),
        (np.hstack([noise(60)[:, :150], noise(1)[:, :150]]), "smooth and detailed parts"),
    ],
)
def test_describe__texture(grey: NDArray[np.uint8], words: str) -> None:
    picture = Measured.from_image(Image.fromarray(grey).convert("RGB"))
    assert describe(picture).split(", ")[2] == f"with {words}"


@pytest.mark.parametrize(
    ("stripes", "words"),
    [
        ([((200, 20, 20), 100)], "mostly red"),
        ([((200, 20, 20), 55), ((250, 250, 250), 45)], "mostly red and white"),
        ([((128, 128, 128), 90), ((200, 20, 20), 10)], "mostly grey with some red"),
        (
            [((70, 40, 20), 25), ((130, 80, 40), 25), ((210, 180, 140), 25), ((0, 0, 0), 25)],
            "mostly shades of brown",
        ),
        (
            [((200, 20, 20), 25), ((20, 20, 220), 25), ((0, 128, 0), 25), ((255, 255, 0), 25)],
            "in many colours, among them",
        ),
    ],
)
def test_describe__colours(stripes: list[tuple[tuple[int, int, int], int]], words: str) -> None:
    rows = [np.tile(np.array(rgb, np.uint8), (count, 100, 1)) for rgb, count in stripes]
    picture = Measured.from_image(Image.fromarray(np.concatenate(rows)))
    assert describe(picture).split(", ", 1)[1].startswith(words)


@pytest.mark.parametrize(
    ("value", "word"),
    [(5, "very dark"), (60, "dark"), (120, "medium-bright"), (200, "bright"), (250, "very bright")],
)
def test_describe__brightness(value: int, word: str) -> None:
    picture = Measured.from_image(Image.new("RGB", (30, 30), (value, value, value)))
    assert describe(picture).startswith(f"a {word} picture, ")


def test_describe__half_black_half_white_is_neither() -> None:
    image = Image.new("RGB", (30, 30))
    image.paste((255, 255, 255), (0, 0, 30, 15))
    assert describe(Measured.from_image(image)).startswith("a high-contrast picture, mostly")


@pytest.mark.parametrize(
    ("box_xyxy", "words"),
    [
        ((0, 0, 100, 100), "in the upper left"),
        ((150, 0, 250, 90), "at the top"),
        ((300, 250, 400, 300), "in the lower right"),
        ((150, 100, 250, 200), "in the centre"),
        ((0, 120, 50, 180), "on the left"),
        ((0, 0, 400, 60), "across the top"),
        ((30, 240, 390, 300), "across the bottom"),
        ((350, 0, 400, 300), "down the right side"),
        ((40, 10, 350, 250), "over most of the picture"),
        ((10, 10, 390, 290), "over nearly the whole picture"),
        ((0, 0, 400, 300), "over the whole picture"),
    ],
)
def test_place(box_xyxy: Rect, words: str) -> None:
    assert place(box_xyxy, (400, 300)) == words


@pytest.mark.parametrize(
    ("box_xyxy", "words"),
    [
        ((0, 0, 5, 5), "less than 1 % of the picture"),
        ((0, 0, 20, 20), "about 4 % of the picture"),
        ((0, 0, 47, 47), "about 20 % of the picture"),
        ((0, 0, 100, 58), "about 60 % of the picture"),
        ((0, 0, 100, 100), "about 100 % of the picture"),
    ],
)
def test_share(box_xyxy: Rect, words: str) -> None:
    assert share(box_xyxy, (100, 100)) == words


@pytest.mark.parametrize(
    ("box_xyxy", "word"), [((0, 0, 10, 20), "tall"), ((0, 0, 20, 10), "wide"), ((0, 0, 10, 19), "")]
)
def test_shape(box_xyxy: Rect, word: str) -> None:
    assert shape(box_xyxy) == word
