"""Files that are there whole or not at all."""

from __future__ import annotations

from collections.abc import Iterator
from contextlib import contextmanager
from pathlib import Path
from typing import BinaryIO

from regioncap.errors import UsageError
from regioncap.files import whole


@contextmanager
def atomic_file(path: Path) -> Iterator[BinaryIO]:
    """Opens a file to write that takes its name when all is written, and goes if that fails.

    Raises:
        UsageError: It cannot be written there.
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
