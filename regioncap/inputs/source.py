"""Where a submission's records come from: a JSON Lines file, pictures, or stdin.

Data sets of other tools are left to `regioncap.inputs`.
"""

from __future__ import annotations

import os
from collections.abc import Callable, Iterator
from contextlib import contextmanager
from dataclasses import dataclass
from pathlib import Path
from typing import BinaryIO

from regioncap.errors import UsageError
from regioncap.inputs import find_input
from regioncap.records import MAX_LINE_BYTES, InputRecord, parse_line

#: Stands for stdin on the command line.
STDIN = "-"
#: Files of a folder that count as pictures. Kinds that are not read are among them, so that they
#: come out as errors and are not missed in silence.
SUFFIXES = {
    ".jpg", ".jpeg", ".jpe", ".jfif", ".png", ".webp",
    ".gif", ".bmp", ".tif", ".tiff", ".heic", ".heif", ".avif", ".jp2",
}  # fmt: skip


@dataclass(frozen=True, slots=True)
class Source:
    """An open source of records, to be read once."""

    #: As the user named it.
    name: str
    #: Folder that image paths are relative to.
    root: Path
    records: Iterator[InputRecord]
    #: How much of it has been read, 0 to 1; None where that cannot be told.
    fraction: Callable[[], float | None]


@contextmanager
def open_source(target: str, stdin: BinaryIO, root: Path | None = None) -> Iterator[Source]:
    """Opens what the user named.

    Args:
        target: A file with records, a picture, a folder, or `-`.
        stdin: What `-` reads.
        root: Folder that image paths are relative to; by default the file's own, the folder, or for
            stdin the working folder.

    Raises:
        UsageError: It cannot be read (`no-input-file`).
    """
    path = Path(target)
    if root is not None and not root.is_dir():
        raise UsageError(f"{root} is no folder", code="no-image-root")
    if target == STDIN:
        yield Source("stdin", root or Path(), read_lines(stdin), lambda: None)
    elif found := find_input(path):
        yield Source(target, root or found.root, found.records, lambda: None)
    elif path.is_dir():
        yield _pictures_of(path, target, lambda: _pictures(path))
    elif path.is_file() and path.suffix.lower() in SUFFIXES:
        yield _pictures_of(path.parent, target, lambda: iter([path.name]))
    else:
        try:
            file = path.open("rb")
        except OSError as error:
            raise UsageError(
                f"{target} cannot be read: {error.strerror}", code="no-input-file"
            ) from error
        with file:
            size = os.fstat(file.fileno()).st_size
            yield Source(
                target,
                root or path.parent,
                read_lines(file),
                lambda: file.tell() / size if size else None,
            )


def no_records(name: str) -> UsageError:
    """The error of a source that is empty."""
    return UsageError(
        f"{name or 'the input'} holds no records",
        code="no-records",
        hint="give a file with one JSON object a line, or a folder with .jpg, .png or .webp files",
    )


def read_lines(
    file: BinaryIO, *, image_key: str = "image", bbox_key: str = "bbox"
) -> Iterator[InputRecord]:
    """Records of a JSON Lines file, as a stream; blank lines are skipped."""
    keys = {"image_key": image_key, "bbox_key": bbox_key}
    index = 0
    for number, raw in enumerate(_lines(file), start=1):
        if raw.strip(b" \t\r\n\xef\xbb\xbf"):
            yield parse_line(raw.rstrip(b"\r\n"), line=number, index=index, **keys)
            index += 1


def _lines(file: BinaryIO) -> Iterator[bytes]:
    """Lines, none held in memory beyond the limit: of a longer one comes what shows that it is."""
    while line := file.readline(MAX_LINE_BYTES + 2):
        rest = line
        while not rest.endswith(b"\n") and (rest := file.readline(MAX_LINE_BYTES)):
            pass
        yield line


def _pictures_of(root: Path, name: str, pictures: Callable[[], Iterator[str]]) -> Source:
    total, read = sum(1 for _ in pictures()), 0

    def records() -> Iterator[InputRecord]:
        nonlocal read
        for index, path in enumerate(pictures()):
            read = index + 1
            yield InputRecord(index=index, line=read, image=path)

    return Source(name, root, records(), lambda: read / total if total else None)


def _pictures(folder: Path) -> Iterator[str]:
    """Paths of the pictures in a folder and those below it, sorted; hidden ones are left out."""
    for parent, folders, files in os.walk(folder):
        folders[:] = sorted(name for name in folders if not name.startswith("."))
        for name in sorted(files):
            if Path(name).suffix.lower() in SUFFIXES and not name.startswith("."):
                yield os.path.relpath(Path(parent) / name, folder)
