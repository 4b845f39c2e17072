"""Where a submission's records come from: stdin, JSON Lines, pictures, or a data set."""

from __future__ import annotations

import os
from collections.abc import Callable, Iterator
from contextlib import contextmanager
from dataclasses import dataclass
from pathlib import Path
from typing import BinaryIO

from regioncap.errors import UsageError
from regioncap.files import open_input
from regioncap.inputs.datasets import find_dataset
from regioncap.inputs.lines import read_lines
from regioncap.inputs.pictures import is_picture, pictures_of
from regioncap.records import InputRecord

#: Stands for stdin on the command line.
STDIN = "-"


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
    elif found := find_dataset(path):
        yield Source(target, root or found.root, found.records, lambda: None)
    elif path.is_dir():
        yield _pictures_of(path, target, lambda: pictures_of(path))
    elif path.is_file() and is_picture(path):
        yield _pictures_of(path.parent, target, lambda: iter([path.name]))
    else:
        with open_input(path) as file:
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


def _pictures_of(root: Path, name: str, pictures: Callable[[], Iterator[str]]) -> Source:
    total, read = sum(1 for _ in pictures()), 0

    def records() -> Iterator[InputRecord]:
        nonlocal read
        for index, path in enumerate(pictures()):
            read = index + 1
            yield InputRecord(index=index, line=read, image=path)

    return Source(name, root, records(), lambda: read / total if total else None)
