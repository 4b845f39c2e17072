"""The digits on the tags: Pillow's built-in scalable font, so that no font need be installed."""

from __future__ import annotations

from functools import lru_cache

from PIL import Image, ImageDraw, ImageFont


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


@lru_cache(maxsize=1024)
def digits_mask(number: int, font_px: int, weight: float) -> Image.Image:
    """A number's coverage, cut to its ink; its strokes are thickened by `weight` pixels."""
    width, height = digits_wh(len(str(number)), font_px)
    mask = Image.new("L", (width + 2 * font_px, height + 2 * font_px))
    ImageDraw.Draw(mask).text(
        (font_px, font_px + height),
        str(number),
        fill=255,
        font=digit_font(font_px),
        anchor="ls",
        stroke_width=weight,
    )
    return mask.crop(mask.getbbox())
