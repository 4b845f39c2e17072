"""Folders and the pictures in them: which files count as such, and what else lies there."""

from __future__ import annotations

import os
import re
from collections.abc import Collection, Iterator
from dataclasses import dataclass, field
from pathlib import Path

from regioncap.inputs.reading import Reading

#: Files of a folder that count as pictures. Kinds that are not read are among them, so that they
#: come out as errors and are not missed in silence.
_SUFFIXES = {
    ".jpg", ".jpeg", ".jpe", ".jfif", ".png", ".apng", ".webp", ".mpo",
    ".gif", ".bmp", ".dib", ".tif", ".tiff", ".heic", ".heif", ".hif", ".avif", ".jp2", ".j2k",
    ".jpx", ".j2c", ".jxl", ".ppm", ".pgm", ".pbm", ".pnm", ".ico", ".tga",
}  # fmt: skip
#: Pictures of a kind that is left out of a folder, and named: drawings, layers, raw.
_LEFT_OUT = {
    ".svg", ".psd", ".dng", ".nef", ".cr2", ".cr3", ".arw", ".raf", ".orf", ".rw2", ".exr", ".hdr",
    ".eps", ".pdf", ".dds",
}  # fmt: skip
_LINES = {".jsonl", ".ndjson"}
_TABLES = {".json", ".xml", ".csv", ".tsv", ".vott", ".parquet", ".arrow", *_LINES}
#: What files of boxes hold near their beginning.
_BOX_WORDS = re.compile(
    rb'<annotation|<object|<box|"shapes"|bbox|bounding_?box|xmin|x_?cent(er|re)|"regions"|"boxes"',
    re.IGNORECASE,
)
_OURS = b'"result_file"'
_HEAD_BYTES = 1 << 16
#: Lines that may stand before the first row of a text, numbers that a row has at least, and words
#: at most: a class, whether it is hard to see.
_HEAD_LINES, _ROW_NUMBERS, _ROW_WORDS = 5, 4, 2
_NUMBER = re.compile(r"[+-]?(?:\d{1,19}(?:\.\d{0,19})?|\.\d{1,19})(?:[eE][+-]?\d{1,3})?")


def is_picture(path: Path) -> bool:
    """Whether a file has the name of a picture."""
    return path.suffix.lower() in _SUFFIXES


def files_of(folder: Path) -> Iterator[str]:
    """Paths of the files in a folder and those below it, sorted; hidden ones are left out.

    Links to folders are followed, each folder once: not those to what is read here anyway, nor back
    to a folder that this one lies in.
    """
    root = Path(os.path.realpath(folder))
    seen: set[Path] = set()
    for parent, folders, files in os.walk(folder, followlinks=True):
        folders[:] = sorted(
            name
            for name in folders
            if not name.startswith(".") and _is_entered(Path(parent) / name, root, seen)
        )
        for name in sorted(files):
            if not name.startswith("."):
                yield os.path.relpath(Path(parent) / name, folder)


def _is_entered(path: Path, root: Path, seen: set[Path]) -> bool:
    """Whether a folder is to be looked into; a link, if its folder would else be missed."""
    real = Path(os.path.realpath(path))
    if path.is_symlink():
        is_above = root.is_relative_to(real)
        is_inside = real.is_relative_to(root) and not any(
            part.startswith(".") for part in real.relative_to(root).parts
        )
        if is_above or is_inside or real in seen:
            return False
    seen.add(real)
    return True


def pictures_of(folder: Path) -> Iterator[str]:
    """Paths of the pictures in a folder and those below it, as `files_of`."""
    return (name for name in files_of(folder) if is_picture(Path(name)))


@dataclass(slots=True)
class Contents:
    """What lies in a folder and those below it."""

    pictures: int = 0
    #: Files that are no pictures, by their suffix, as paths in the folder.
    others: dict[str, list[str]] = field(default_factory=dict)

    def named(self, *names: str) -> list[str]:
        """The files that have one of these names."""
        return sorted(
            path for paths in self.others.values() for path in paths if Path(path).name in names
        )


def look_into(folder: Path) -> Contents:
    """Looks at a folder's names."""
    found = Contents()
    for name in files_of(folder):
        if is_picture(Path(name)):
            found.pictures += 1
        else:
            found.others.setdefault(Path(name).suffix.lower(), []).append(name)
    return found


def tell_left_out(
    folder: Path,
    contents: Contents,
    reading: Reading,
    read: Collection[Path] = (),
    *,
    are_texts_read: bool = False,
) -> None:
    """Notes what looks like pictures or annotations and is not read.

    Args:
        folder: The folder.
        contents: What lies in it.
        reading: Where that is noted.
        read: The files in it that are read.
        are_texts_read: Whether the texts of its pictures are, too.
    """
    texts = [] if are_texts_read else contents.others.get(".txt", [])
    stems = {Path(name).stem for name in pictures_of(folder)} if texts else set()
    for name in texts:
        if folder / name not in read and Path(name).stem in stems and _holds_rows(folder / name):
            reading.unread_annotations.add(name)
    for suffix, names in sorted(contents.others.items()):
        for name in names:
            if folder / name in read:
                continue
            if suffix in _LEFT_OUT:
                reading.leave_out(f"{suffix} files, which are no pictures that are read", name)
            elif suffix == ".tar":
                reading.leave_out("archives, to be submitted by themselves", name)
            elif suffix in _TABLES and _holds_boxes(folder / name):
                reading.unread_annotations.add(name)
            elif suffix in _LINES:
                reading.leave_out("files of records, to be submitted by themselves", name)


def _holds_rows(path: Path) -> bool:
    """Whether a text begins with a row of numbers, as KITTI's, DOTA's and YOLO's are."""
    try:
        with path.open("rb") as file:
            lines = file.read(_HEAD_BYTES).decode("utf-8", "replace").splitlines()
    except OSError:
        return False
    return any(map(_is_row, lines[:_HEAD_LINES]))


def _is_row(line: str) -> bool:
    words = line.replace(",", " ").split()
    numbers = sum(1 for word in words if _NUMBER.fullmatch(word))
    return numbers >= _ROW_NUMBERS and len(words) - numbers <= _ROW_WORDS


def _holds_boxes(path: Path) -> bool:
    try:
        with path.open("rb") as file:
            if path.suffix.lower() in {".parquet", ".arrow"}:  # names of columns stand at the end
                file.seek(-min(_HEAD_BYTES, path.stat().st_size), os.SEEK_END)
            head = file.read(_HEAD_BYTES)
    except OSError:
        return False
    return bool(_BOX_WORDS.search(head)) and _OURS not in head
