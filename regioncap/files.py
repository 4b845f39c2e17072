"""The user's files: opened with a clear error, written whole or not at all."""

from __future__ import annotations

import shutil
from collections.abc import Iterator
from contextlib import contextmanager, suppress
from pathlib import Path
from typing import BinaryIO

from regioncap.errors import UsageError


def open_input(path: Path) -> BinaryIO:
    """Opens a file to read.

    Raises:
        UsageError: It cannot be read (`no-input-file`).
    """
    try:
        return path.open("rb")
    except OSError as error:
        raise UsageError(
            f"{path} cannot be read: {error.strerror}",
            code="no-input-file",
            hint="" if path.exists() else f"looked for at {path.absolute()}",
        ) from error


@contextmanager
def whole_file(path: Path) -> Iterator[BinaryIO]:
    """Opens a file to write; it gets its name when all is written, and is removed if that fails.

    Raises:
        UsageError: It cannot be written there (`no-output`).
    """
    if path.is_dir():
        raise UsageError(f"{path} is a folder", code="no-output", hint="name a file")
    with whole(path) as temporary:
        try:
            file = temporary.open("wb")
        except OSError as error:
            raise UsageError(
                f"{path} cannot be written: {error.strerror}", code="no-output"
            ) from error
        with file:
            yield file


@contextmanager
def whole(path: Path) -> Iterator[Path]:
    """A name beside `path` to make a file or a folder under.

    It gets the name `path` when the block ends, and is removed if that fails. An existing file is
    replaced, and so is an empty folder by a folder.

    Raises:
        OSError: It cannot take its name.
    """
    temporary = path.with_name(f".{path.name}.part")
    _remove(temporary)
    try:
        yield temporary
        temporary.replace(path)
    except BaseException:
        _remove(temporary)
        raise


def _remove(path: Path) -> None:
    """Removes a file or a folder, if there is one; what is in the way is noticed when writing."""
    if path.is_dir() and not path.is_symlink():
        shutil.rmtree(path, ignore_errors=True)
    else:
        with suppress(OSError):
            path.unlink()
