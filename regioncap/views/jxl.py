"""The size of a JPEG XL picture from its header: its decoder tells none before all is decoded.

ISO/IEC 18181-1, annex D (size header, image metadata), and 18181-2 (boxes).
"""

from __future__ import annotations

import struct

from regioncap.views.boxes import Size

_CODESTREAM = b"\xff\x0a"
#: Width by height for the ratios that have a number.
_RATIOS = {1: (1, 1), 2: (12, 10), 3: (4, 3), 4: (3, 2), 5: (16, 9), 6: (5, 4), 7: (2, 1)}
_LENGTHS = (9, 13, 18, 30)
_MOST_BOXES = 1_000
_FIRST_SIDEWAYS = 5


class _Bits:
    """Bits of bytes, the lowest of each first."""

    def __init__(self, data: bytes) -> None:
        self._value = int.from_bytes(data, "little")
        self._left = 8 * len(data)

    def take(self, count: int) -> int:
        if count > self._left:
            raise ValueError("the header is cut off")
        taken = self._value & ((1 << count) - 1)
        self._value >>= count
        self._left -= count
        return taken

    def length(self) -> int:
        return self.take(_LENGTHS[self.take(2)]) + 1


def size_of(data: bytes) -> Size:
    """Width and height as shown, in pixels.

    Raises:
        ValueError: It is none, or is cut off in its header.
    """
    bits = _Bits(_codestream(data)[2:64])
    is_small = bits.take(1)
    height = 8 * (bits.take(5) + 1) if is_small else bits.length()
    ratio = bits.take(3)
    if ratio:
        times, by = _RATIOS[ratio]
        width = height * times // by
    else:
        width = 8 * (bits.take(5) + 1) if is_small else bits.length()
    is_default = bits.take(1)
    orientation = bits.take(3) + 1 if not is_default and bits.take(1) else 1
    return (height, width) if orientation >= _FIRST_SIDEWAYS else (width, height)


def _codestream(data: bytes) -> bytes:
    """The beginning of the codestream, from the boxes that it lies in, if any."""
    if data.startswith(_CODESTREAM):
        return data[:64]
    position = 0
    for _ in range(_MOST_BOXES):
        head = data[position : position + 16]
        if len(head) < 8:
            break
        length, kind = struct.unpack(">I4s", head[:8])
        begin = position + 8
        if length == 1:
            length, begin = int.from_bytes(head[8:16], "big"), position + 16
        if kind in {b"jxlc", b"jxlp"}:
            begin += 4 if kind == b"jxlp" else 0
            found = data[begin : begin + 64]
            if not found.startswith(_CODESTREAM):
                break
            return found
        if length < 8:
            break
        position += length
    raise ValueError("the header is cut off, or is none")
