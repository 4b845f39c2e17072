"""Small texts: a row a line, of a file a picture."""

from __future__ import annotations

from collections.abc import Iterator
from pathlib import Path

from regioncap.inputs.fields import bad_dataset

#: Rows of a hundred thousand objects.
_MOST_BYTES = 20_000_000


def numbered_lines(path: Path) -> Iterator[tuple[int, str]]:
    """The lines of a file that hold something, with their numbers from 1.

    Raises:
        UsageError: It cannot be read, is no UTF-8 or very long (`bad-dataset`).
    """
    try:
        with path.open("rb") as file:
            data = file.read(_MOST_BYTES + 1)
        text = data.decode("utf-8-sig")
    except OSError as error:
        raise bad_dataset(path, f"cannot be read: {error.strerror}") from error
    except UnicodeDecodeError as error:
        raise bad_dataset(path, f"not UTF-8 at byte {error.start}", "save it as UTF-8") from error
    if len(data) > _MOST_BYTES:
        raise bad_dataset(path, f"more than {_MOST_BYTES:,} bytes of text")
    for number, line in enumerate(text.splitlines(), start=1):
        if line.strip():
            yield number, line.strip()
