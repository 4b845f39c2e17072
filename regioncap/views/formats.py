"""Formats of pictures by their first bytes: which are read, and by what name Pillow knows them."""

from __future__ import annotations

import re
from dataclasses import dataclass


@dataclass(frozen=True, slots=True)
class Format:
    """A format of pictures that is read."""

    #: As Pillow calls it.
    plugin: str
    #: File extension without the dot.
    extension: str
    #: Whether browsers and loaders of data sets show it.
    is_shown: bool = False
    #: Package that reads it, of the extra `formats`; empty for what Pillow reads.
    package: str = ""
    #: Most pixels; None is the limit of the settings alone.
    max_pixels: int | None = None


#: Decoders that hold a picture several times over get less of it.
_HEAVY_PIXELS = 50_000_000

#: The formats that are read, by name.
READ: dict[str, Format] = {
    "JPEG": Format("JPEG", "jpg", is_shown=True),
    "PNG": Format("PNG", "png", is_shown=True),
    "WEBP": Format("WEBP", "webp", is_shown=True),
    "TIFF": Format("TIFF", "tif"),
    "BMP": Format("BMP", "bmp"),
    "GIF": Format("GIF", "gif"),
    "AVIF": Format("AVIF", "avif"),
    "JPEG 2000": Format("JPEG2000", "jp2", max_pixels=_HEAVY_PIXELS),
    "PNM": Format("PPM", "ppm"),
    "ICO": Format("ICO", "ico"),
    "HEIC": Format("HEIF", "heic", package="pillow_heif"),
    "JPEG XL": Format("JXL", "jxl", package="pillow_jxl", max_pixels=_HEAVY_PIXELS),
}

#: The beginning of a file, and what it is.
_BEGINNINGS: tuple[tuple[bytes, str], ...] = (
    (rb"\xff\xd8", "JPEG"),
    (rb"\x89PNG", "PNG"),
    (rb"RIFF....WEBP", "WEBP"),
    (rb"II\*\0|MM\0\*|II\+\0|MM\0\+", "TIFF"),
    (rb"BM", "BMP"),
    (rb"GIF8", "GIF"),
    (rb"....ftypavi[fs]|\0\0\0.ftyp(mif1|msf1|miaf)....(....)*?avi[fs]", "AVIF"),
    (rb"....ftyp(heic|heix|hevc|heim|heis|hevm|hevs|mif1|msf1)", "HEIC"),
    (rb"\xff\x0a|\0\0\0\x0cJXL ", "JPEG XL"),
    (rb"\0\0\0\x0cjP  |\xff\x4f\xff\x51", "JPEG 2000"),
    (rb"\0\0\x01\0", "ICO"),
    (rb"8BPS", "Photoshop"),
    (rb"DDS ", "DDS"),
    (rb"v/1\x01", "OpenEXR"),
    (rb"#\?RADIANCE", "Radiance HDR"),
    (rb"P[1-6fF]\s", "PNM"),
    (rb"P7\s", "PAM"),
    (rb"%PDF", "PDF"),
    (rb"%!PS|\xc5\xd0\xd3\xc6", "PostScript"),
    (rb"\s*(<\?xml[^>]*>\s*)?(<!--.*?-->\s*)?(<!DOCTYPE svg[^>]*>\s*)?<svg", "SVG"),
    (rb"\s*<(!DOCTYPE html|html)", "HTML"),
)
_HEAD_BYTES = 1_000
#: Brands of a file in the boxes of ISO's media format; all of them are text.
_BRANDS_BYTES = 64


def name_of(data: bytes) -> str:
    """The format of a file, `HEIC`; empty if its first bytes are of none known here."""
    for beginning, name in _BEGINNINGS:
        head = data[: _BRANDS_BYTES if b"ftyp" in beginning else _HEAD_BYTES]
        if re.match(beginning, head, re.DOTALL | re.IGNORECASE if b"<" in beginning else re.DOTALL):
            return name
    return ""


def extension_of(data: bytes) -> str:
    """File extension by the first bytes; names say little about content."""
    known = READ.get(name_of(data))
    return known.extension if known else "bin"


def is_shown(data: bytes) -> bool:
    """Whether browsers and loaders of data sets show a picture."""
    known = READ.get(name_of(data))
    return known is not None and known.is_shown
