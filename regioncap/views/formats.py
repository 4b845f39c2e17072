"""Formats of pictures by their first bytes: to name what is not read; pure."""

from __future__ import annotations

import re

#: The beginning of a file, and what it is; the formats that are read are named as Pillow does.
_BEGINNINGS: tuple[tuple[bytes, str], ...] = (
    (rb"\xff\xd8", "JPEG"),
    (rb"\x89PNG", "PNG"),
    (rb"RIFF....WEBP", "WEBP"),
    (rb"II\*\0|MM\0\*|II\+\0|MM\0\+", "TIFF"),
    (rb"BM", "BMP"),
    (rb"GIF8", "GIF"),
    (rb"....ftyp(heic|heix|hevc|heim|heis|hevm|hevs|mif1|msf1)", "HEIC"),
    (rb"....ftypavi[fs]", "AVIF"),
    (rb"\xff\x0a|\0\0\0\x0cJXL ", "JPEG XL"),
    (rb"\0\0\0\x0cjP  |\xff\x4f\xff\x51", "JPEG 2000"),
    (rb"\0\0\x01\0", "ICO"),
    (rb"8BPS", "Photoshop"),
    (rb"DDS ", "DDS"),
    (rb"v/1\x01", "OpenEXR"),
    (rb"#\?RADIANCE", "Radiance HDR"),
    (rb"P[1-7]\s", "PNM"),
    (rb"%PDF", "PDF"),
    (rb"%!PS|\xc5\xd0\xd3\xc6", "PostScript"),
    (rb"\s*(<\?xml[^>]*>\s*)?(<!--.*?-->\s*)?(<!DOCTYPE svg[^>]*>\s*)?<svg", "SVG"),
    (rb"\s*<(!DOCTYPE html|html)", "HTML"),
)
_HEAD_BYTES = 1_000


def name_of(data: bytes) -> str:
    """The format of a file, `HEIC`; empty if its first bytes are of none known here."""
    head = data[:_HEAD_BYTES]
    for beginning, name in _BEGINNINGS:
        if re.match(beginning, head, re.DOTALL | re.IGNORECASE if b"<" in beginning else re.DOTALL):
            return name
    return ""
