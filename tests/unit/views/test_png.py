"""Texts in a PNG, however long and wherever they stand, do not keep its picture from being read."""

from __future__ import annotations

import zlib

import pytest

from regioncap.views.pixels import decode, probe_turn
from regioncap.views.png import without_texts
from tests.support.bombs import png_chunk
from tests.support.records import coloured, png

LONG = b"a" * 3_000_000
XMP = b'<x:xmpmeta xmlns:x="adobe:ns:meta/"><tiff:Orientation>6</tiff:Orientation></x:xmpmeta>'
EXIF = b"Exif\0\0II*\0\x08\0\0\0\x01\0\x12\x01\x03\0\x01\0\0\0\x06\0\0\0\0\0\0\0"
PLAIN = png(coloured((30, 20), {}))


def chunk(kind: bytes, keyword: bytes, text: bytes) -> bytes:
    """A text, packed where the kind is."""
    between = {b"tEXt": b"", b"zTXt": b"\0", b"iTXt": b"\1\0\0\0", b"iTXt plain": b"\0\0\0\0"}[kind]
    packed = text if kind in {b"tEXt", b"iTXt plain"} else zlib.compress(text)
    return png_chunk(kind[:4], keyword + b"\0" + between + packed)


def placed(added: bytes, before: bytes) -> bytes:
    at = PLAIN.index(before) - 4
    return PLAIN[:at] + added + PLAIN[at:]


@pytest.mark.parametrize("kind", [b"tEXt", b"zTXt", b"iTXt", b"iTXt plain"])
@pytest.mark.parametrize("before", [b"IDAT", b"IEND"])
@pytest.mark.parametrize("keyword", [b"workflow", b"XML:com.adobe.xmp", b"Raw profile type exif"])
def test_long_texts_are_passed_over(kind: bytes, before: bytes, keyword: bytes) -> None:
    data = placed(chunk(kind, keyword, LONG) * 3, before)
    assert probe_turn(data) == ((30, 20), 1)
    assert (decode(data).pixels == decode(PLAIN).pixels).all()


def test_texts_that_tell_how_it_is_turned_are_kept() -> None:
    profile = b"\nexif\n%8d\n%s\n" % (len(EXIF), EXIF.hex().encode())
    for added in (
        chunk(b"zTXt", b"Raw profile type exif", profile),
        chunk(b"tEXt", b"Raw profile type exif", profile),
        chunk(b"iTXt plain", b"XML:com.adobe.xmp", XMP),
        chunk(b"iTXt", b"XML:com.adobe.xmp", XMP),
    ):
        data = placed(chunk(b"tEXt", b"prompt", b"a dog") + added, b"IDAT")
        assert without_texts(data) == placed(added, b"IDAT")
        assert probe_turn(data) == ((20, 30), 6)


def test_what_is_cut_off_or_no_png_stays_as_it_is() -> None:
    for data in (b"", b"\x89PNG", PLAIN, PLAIN[:40], b"\xff\xd8 tEXt"):
        assert without_texts(data) == data
    assert without_texts(placed(chunk(b"tEXt", b"a", LONG), b"IDAT")[:5000]) == PLAIN[:33]
