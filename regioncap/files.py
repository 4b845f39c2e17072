"""The user's files: opened with a clear error, written whole or not at all."""

from __future__ import annotations

import errno
import os
import re
import secrets
import shutil
import socket
import stat
import tempfile
import time
from collections.abc import Iterator
from contextlib import contextmanager, nullcontext, suppress
from functools import lru_cache
from pathlib import Path
from typing import BinaryIO

from regioncap.errors import UsageError

#: What is not written yet, by the host and the process that writes it.
_PART = re.compile(r"\.regioncap-(?P<place>.+)-(?P<pid>\d+)-[0-9a-f]{16}\.part")
#: Whether a process of another host still writes nobody can tell: it is given this long.
_LONGEST_S = 7 * 86400.0


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
def written(path: Path) -> Iterator[None]:
    """Says of what the system refuses in the block that `path` cannot be written.

    Raises:
        UsageError: It cannot (`bad-output`).
    """
    try:
        yield
    except OSError as error:
        raise UsageError(
            f"{path} cannot be written: {error.strerror or error}", code="bad-output"
        ) from error


def check_output(path: Path) -> None:
    """Returns if it seems that a file can be written at `path`; to be asked before long work.

    Raises:
        UsageError: It cannot (`bad-output`).
    """
    with written(path):
        if path.is_dir():
            raise UsageError(f"{path} is a folder", code="bad-output", hint="name a file with -o")
        folder = Path(os.path.realpath(path)).parent
        if not stat.S_ISDIR(folder.stat().st_mode):
            raise OSError(errno.ENOTDIR, os.strerror(errno.ENOTDIR))
        if not is_stream(path) and not os.access(folder, os.W_OK | os.X_OK):
            raise OSError(errno.EACCES, os.strerror(errno.EACCES))


def make_folder(path: Path) -> None:
    """Makes a folder to write into, and those above it, where they are missing.

    Raises:
        UsageError: It cannot be made (`bad-output`).
    """
    with written(path):
        path.mkdir(parents=True, exist_ok=True)


@contextmanager
def whole_file(path: Path) -> Iterator[BinaryIO]:
    """Opens a file to write; it gets its name when all is written, and is removed if that fails.

    A pipe or a device is written to as it goes.

    Raises:
        UsageError: It cannot be written there (`bad-output`).
    """
    check_output(path)
    direct = nullcontext(path) if is_stream(path) else whole(path)
    with written(path), direct as temporary, temporary.open("wb") as file:
        yield file


@contextmanager
def whole(path: Path) -> Iterator[Path]:
    """A name to make a file or a folder under, which nobody else has.

    What was made gets the name `path` when the block ends, and is removed if that fails. An
    existing file is replaced, and so is an empty folder by a folder; a link stays, and what it
    names is replaced; a pipe or a device is given what the file holds.

    Raises:
        OSError: It cannot take its name.
    """
    if is_stream(path):
        with tempfile.TemporaryDirectory(prefix="regioncap-") as folder:
            yield Path(folder) / "part"
            with (Path(folder) / "part").open("rb") as made, path.open("wb") as stream:
                shutil.copyfileobj(made, stream)
        return
    path = Path(os.path.realpath(path))
    _sweep(path.parent)
    temporary = path.with_name(f".regioncap-{_place()}-{os.getpid()}-{secrets.token_hex(8)}.part")
    try:
        yield temporary
        temporary.replace(path)
    except BaseException:
        _remove(temporary)
        raise


def is_stream(path: Path) -> bool:
    """Whether a path is there and neither a file nor a folder, as a pipe or a device."""
    return path.exists() and not path.is_file() and not path.is_dir()


@lru_cache(maxsize=64)  # a folder of many files is looked at once
def _sweep(folder: Path) -> None:
    """Removes what processes that were killed left half-written."""
    with suppress(OSError):
        for path in folder.glob(".regioncap-*.part"):
            if _is_left(path):
                _remove(path)


def _is_left(path: Path) -> bool:
    """Whether nobody writes a part any more."""
    part = _PART.fullmatch(path.name)
    if part is None:
        return False
    if part["place"] != _place():
        return time.time() - path.stat().st_mtime > _LONGEST_S
    try:
        os.kill(int(part["pid"]), 0)
    except ProcessLookupError:
        return True
    except OSError:  # it is another user's
        return False
    return False


@lru_cache(maxsize=1)
def _place() -> str:
    """Where a process's number means this process: a host, or a container that counts its own."""
    try:
        space = Path("/proc/self/ns/pid").stat().st_ino
    except OSError:  # not on Linux
        space = 0
    return f"{re.sub('[^0-9A-Za-z-]', '-', socket.gethostname())[:64]}-{space}"


def _remove(path: Path) -> None:
    """Removes a file or a folder, if there is one; what is in the way is noticed when writing."""
    if path.is_dir() and not path.is_symlink():
        shutil.rmtree(path, ignore_errors=True)
    else:
        with suppress(OSError):
            path.unlink()
