"""Chunks of a PNG: what stands beside its pixels; pure.

Format: https://www.w3.org/TR/png-3/#5DataRep
"""

from __future__ import annotations

import struct
import zlib
from collections.abc import Iterator
from typing import NamedTuple

SIGNATURE = b"\x89PNG\r\n\x1a\n"
#: Encoders of PNGs make some chunks of pixels per megabyte.
_MOST_CHUNKS = 100_000
_TEXT = {b"tEXt", b"zTXt", b"iTXt"}
#: Keywords of texts that may say how the picture is turned.
_TURNING = (b"Raw profile type exif\0", b"Raw profile type APP1\0", b"XML:com.adobe.xmp\0")
#: Pillow refuses a picture with a longer one.
_MOST_TEXT_BYTES = 1 << 20


class _Chunk(NamedTuple):
    """Where a chunk stands: its length and kind from `start`, its data, a checksum to `end`."""

    kind: bytes
    start: int
    end: int

    def data(self, png: bytes) -> bytes:
        return png[self.start + 8 : self.end - 4]


def exif_of(png: bytes) -> bytes | None:
    """What stands in the chunk eXIf, before the pixels or behind them; None if there is none."""
    found = next((chunk for chunk in _chunks(png) if chunk.kind == b"eXIf"), None)
    return b"Exif\0\0" + found.data(png) if found else None


def without_texts(png: bytes) -> bytes:
    """The PNG without texts, but those that may say how it is turned, unless they are long.

    Nobody reads them here, and for one that is long Pillow refuses the picture.
    """
    dropped = [chunk for chunk in _chunks(png) if chunk.kind in _TEXT and not _is_kept(chunk, png)]
    if not dropped:
        return png
    kept, start = [], 0
    for chunk in dropped:
        kept.append(png[start : chunk.start])
        start = chunk.end
    return b"".join([*kept, png[start:]])


def _is_kept(chunk: _Chunk, png: bytes) -> bool:
    data = chunk.data(png)
    _, _, rest = data.partition(b"\0")
    if not data.startswith(_TURNING):
        return False
    packed = rest[1:]  # behind a byte for the method
    if chunk.kind == b"iTXt":  # a flag, the method, a language, and the keyword in that
        packed = rest[2:].split(b"\0", 2)[-1] if rest[:1] == b"\1" else b""
    if chunk.kind == b"tEXt" or not packed:
        return len(data) <= _MOST_TEXT_BYTES
    unpacking = zlib.decompressobj()
    try:
        unpacking.decompress(packed, _MOST_TEXT_BYTES)
    except zlib.error:
        return True  # which Pillow leaves out by itself
    return not unpacking.unconsumed_tail


def _chunks(png: bytes) -> Iterator[_Chunk]:
    """The chunks, as far as they go; of data that are cut off, the last one ends behind them."""
    if not png.startswith(SIGNATURE):
        return
    start = len(SIGNATURE)
    for _ in range(_MOST_CHUNKS):
        head = png[start : start + 8]
        if len(head) < 8:
            return
        length, kind = struct.unpack(">I4s", head)
        yield _Chunk(kind, start, start + 12 + length)
        start += 12 + length
