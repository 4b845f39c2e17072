"""The sentence that says how a region looks."""

from __future__ import annotations

import numpy as np
from numpy.typing import NDArray

from regioncap.engines.looks.colours import FAMILIES, FAMILY_OF_NAME, NAMES, VIVID
from regioncap.engines.looks.places import place, shape, share
from regioncap.engines.looks.samples import Measured, Sample
from regioncap.engines.looks.textures import texture
from regioncap.views.boxes import Rect


def describe(picture: Measured, box_xyxy: Rect | None = None) -> str:
    """Says how a region looks, or the whole picture if no box is given.

    Returns:
        A sentence without its capital and full stop: "a bright region, mostly dark red and
        cream, with a fine texture, in the upper left, about 4 % of the picture".
    """
    sample = Sample.of_box(picture, box_xyxy or (0, 0, *picture.size_wh))
    look = [brightness(sample.lightness), colours(sample.names), texture(sample)]
    if box_xyxy is None:
        return "a {} picture, {}, {}".format(*look)
    subject = " ".join(word for word in ("a", shape(box_xyxy), look[0], "region") if word)
    where = [place(box_xyxy, picture.size_wh), share(box_xyxy, picture.size_wh)]
    return ", ".join([subject, *look[1:], *where])


def brightness(lightness: NDArray[np.float32]) -> str:
    """A word for the lightness, 0 to 100, of a region's pixels."""
    ranked = np.sort(lightness)
    darkest, lightest = ranked[int(0.15 * ranked.size)], ranked[int(0.85 * ranked.size)]
    if darkest < 42 and lightest > 78:
        return "high-contrast"
    bounds = ((28, "very dark"), (47, "dark"), (67, "medium-bright"), (88, "bright"))
    mean = float(lightness.mean())
    return next((word for bound, word in bounds if mean < bound), "very bright")


def colours(numbers: NDArray[np.uint8]) -> str:
    """The one or two main colours of pixels named by `colours.name_numbers`, shape (n,).

    If no two names cover more than half of the pixels, their families are tried ("shades of
    brown"); a region that has no main family either is said to be of many colours.
    """
    names = np.bincount(numbers, minlength=len(NAMES)) / numbers.size
    families = np.asarray(
        np.bincount(FAMILY_OF_NAME, weights=names, minlength=len(FAMILIES)), dtype=np.float64
    )
    words, said = _main_colours(names, families)
    largest_first = np.argsort(-families, kind="stable")
    accents = [FAMILIES[i] for i in largest_first if families[i] >= 0.08]
    accent = next((family for family in accents if family in VIVID - said), None)
    return f"{words} with some {accent}" if accent else words


def _main_colours(
    names: NDArray[np.float64], families: NDArray[np.float64]
) -> tuple[str, set[str]]:
    """Words for shares of names and of families, and the families that the words cover."""
    first, second = (int(i) for i in np.argsort(-names, kind="stable")[:2])
    said = {FAMILIES[FAMILY_OF_NAME[first]]}
    if names[first] >= 0.6 or (names[first] >= 0.5 and names[second] < 0.2):
        return f"mostly {NAMES[first]}", said
    if names[first] + names[second] >= 0.55 and names[second] >= 0.15:
        said.add(FAMILIES[FAMILY_OF_NAME[second]])
        return f"mostly {NAMES[first]} and {NAMES[second]}", said
    first, second = (int(i) for i in np.argsort(-families, kind="stable")[:2])
    said = {FAMILIES[first]}
    if families[first] >= 0.55:
        return f"mostly shades of {FAMILIES[first]}", said
    said.add(FAMILIES[second])
    if families[first] + families[second] >= 0.55:
        return f"mostly shades of {FAMILIES[first]} and {FAMILIES[second]}", said
    return f"in many colours, among them {FAMILIES[first]} and {FAMILIES[second]}", set(FAMILIES)
