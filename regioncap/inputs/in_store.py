"""Inputs that lie in a store: records and tables are brought here, pictures stay where they are.

    s3://bucket/data.jsonl     a file, of any kind that is read
    s3://bucket/folder/        a folder of pictures, or a data set

Of a folder a copy is laid out on this machine in which an empty file stands for each picture, so
that it is read as any folder is. What the records then name are the objects.
"""

from __future__ import annotations

import posixpath
import tempfile
from collections.abc import Iterator
from contextlib import contextmanager, suppress
from dataclasses import dataclass, field
from pathlib import Path

from regioncap.errors import NotFoundError, RecordError, UsageError
from regioncap.inputs.locate import checked_uri
from regioncap.inputs.pictures import is_picture
from regioncap.records import InputRecord
from regioncap.services.store import Store, parse_s3_uri
from regioncap.settings import Settings

SCHEME = "s3://"


@dataclass(frozen=True, slots=True)
class Brought:
    """An input of a store as it lies on this machine."""

    #: The file or folder.
    path: Path
    #: The s3:// name of its folder, with a slash behind.
    folder: str
    #: Objects whose names no folder can hold.
    left_out: list[str] = field(default_factory=list)

    def placed(self, record: InputRecord) -> InputRecord:
        """The record with its picture named where it lies in the store."""
        here = self.path if self.path.is_dir() else self.path.parent
        name = record.image
        if isinstance(record.picture, Path):
            name, record.picture = str(record.picture.relative_to(here)), None
        if name and record.picture is None and record.error is None and _is_relative(name):
            record.image = self._named(name)
        return record

    def _named(self, name: str) -> str:
        bucket, _, folder = self.folder.removeprefix(SCHEME).partition("/")
        path = posixpath.normpath(posixpath.join("/", folder, name.replace("\\", "/")))
        return f"{SCHEME}{bucket}{path}"


def is_in_store(target: str) -> bool:
    """Whether what the user names lies in a store."""
    return target.startswith(SCHEME)


@contextmanager
def brought(target: str, settings: Settings, base: str | None = None) -> Iterator[Brought]:
    """Brings an input of a store here for as long as the block runs.

    Args:
        target: Its s3:// name; of a folder with or without a slash behind.
        settings: The store, and the buckets that may be read.
        base: The s3:// name of the folder that pictures are relative to, if not the input's own.

    Raises:
        UsageError: There is no such object, or it may not be read (`no-input-file`).
        StoreError: The store is away.
    """
    store = Store(settings)
    _check_allowed(target, settings)
    with tempfile.TemporaryDirectory(prefix="regioncap-input-") as name:
        here = Path(name)
        path = None if target.endswith("/") else _bring_file(store, target, here)
        if path is not None:
            found = Brought(path, base or target.rpartition("/")[0] + "/")
        else:
            folder = target.rstrip("/") + "/"
            found = Brought(here, base or folder)
            _bring_folder(store, folder, found)
        yield found


def _check_allowed(target: str, settings: Settings) -> None:
    try:
        checked_uri(f"{target.rstrip('/')}/any", settings)
    except RecordError as error:
        raise UsageError(
            f"{target} cannot be read: {error.message}", code="no-input-file", hint=error.hint
        ) from None


def _bring_file(store: Store, target: str, here: Path) -> Path | None:
    """The file of an object; None if there is no such object."""
    try:
        _, name = parse_s3_uri(target)
    except ValueError:
        return None
    path = here / posixpath.basename(name)
    try:
        store.download(target, path)
    except NotFoundError:
        return None
    return path


def _bring_folder(store: Store, folder: str, into: Brought) -> None:
    names = 0
    for name in _names_in(store, folder):
        if not name or name.endswith("/"):
            continue  # what some tools put for a folder
        names += 1
        path = into.path / name
        if not _is_safe(name):
            into.left_out.append(name)
            continue
        try:
            path.parent.mkdir(parents=True, exist_ok=True)
            if is_picture(path):
                path.touch()
            else:
                store.download(folder + name, path)
        except (OSError, NotFoundError):
            into.left_out.append(name)
    if not names:
        raise UsageError(
            f"{folder.rstrip('/')} cannot be read: the store has no such object, and none below it",
            code="no-input-file",
        )


def _names_in(store: Store, folder: str) -> Iterator[str]:
    """Names of a folder's objects, relative to it."""
    prefix = folder.removeprefix(SCHEME).partition("/")[2]
    with suppress(NotFoundError):  # no such bucket
        for stored in store.list_uri(folder):
            yield stored.key.removeprefix(prefix)


def _is_safe(name: str) -> bool:
    return name.isprintable() and not {"", ".", ".."} & set(name.split("/"))


def _is_relative(name: str) -> bool:
    return "://" not in name and not name.startswith(("/", "data:"))
