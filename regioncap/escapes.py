"""Escapes: texts of others made safe to print on a terminal.

File names, captions and errors are strangers' texts. Control characters move the cursor, colour or
hide what stands there and type commands; bidirectional marks turn the order of what is read.
"""

from __future__ import annotations

import re

#: Controls (C0 without tab and line feed, DEL, C1), marks of direction, and separators of lines.
_COMMANDS = re.compile(
    "[\x00-\x08\x0b-\x1f\x7f-\x9f\u061c\u200e\u200f\u2028-\u202e\u2066-\u2069\ufeff]"
)


def shown(text: str) -> str:
    r"""A text that is safe to print: control and bidirectional characters become `\uXXXX`."""
    return _COMMANDS.sub(lambda found: f"\\u{ord(found[0]):04x}", text)
