"""The digits on the tags: Pillow's built-in scalable font, so that no font need be installed."""

from __future__ import annotations

from functools import lru_cache

from PIL import ImageDraw, ImageFont

from regioncap.marks.base import Rgb


@lru_cache(maxsize=64)
def digit_font(font_px: int) -> ImageFont.FreeTypeFont:
    """The font at a size in pixels.

    Raises:
        RuntimeError: Pillow was built without FreeType, and has only a font of one tiny size.
    """
    font = ImageFont.load_default(font_px)
    if not isinstance(font, ImageFont.FreeTypeFont):
        raise RuntimeError("Pillow was built without FreeType: install a wheel of Pillow")
    return font


@lru_cache(maxsize=256)
def digits_wh(count: int, font_px: int) -> tuple[int, int]:
    """Width and height in pixels of so many digits; the font's digits are all of one width."""
    left, top, right, bottom = digit_font(font_px).getbbox("0" * count, anchor="ls")
    return int(right - left), int(bottom - top)


def draw_digits(
    draw: ImageDraw.ImageDraw,
    left_bottom: tuple[float, float],
    number: int,
    *,
    font_px: int,
    rgb: Rgb,
    weight: float,
) -> None:
    """Writes a number with its lower left corner at a point, thickened by `weight` pixels."""
    draw.text(
        left_bottom,
        str(number),
        fill=rgb,
        font=digit_font(font_px),
        anchor="ls",
        stroke_width=weight,
        stroke_fill=rgb,
    )
