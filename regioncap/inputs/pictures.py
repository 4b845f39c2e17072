"""Pictures without boxes: which files count as such."""

from __future__ import annotations

import os
from collections.abc import Iterator
from pathlib import Path

#: Files of a folder that count as pictures. Kinds that are not read are among them, so that they
#: come out as errors and are not missed in silence.
_SUFFIXES = {
    ".jpg", ".jpeg", ".jpe", ".jfif", ".png", ".webp",
    ".gif", ".bmp", ".tif", ".tiff", ".heic", ".heif", ".avif", ".jp2",
}  # fmt: skip


def is_picture(path: Path) -> bool:
    """Whether a file has the name of a picture."""
    return path.suffix.lower() in _SUFFIXES


def pictures_of(folder: Path) -> Iterator[str]:
    """Paths of the pictures in a folder and those below it, sorted; hidden ones are left out."""
    for parent, folders, files in os.walk(folder):
        folders[:] = sorted(name for name in folders if not name.startswith("."))
        for name in sorted(files):
            if is_picture(Path(name)) and not name.startswith("."):
                yield os.path.relpath(Path(parent) / name, folder)
