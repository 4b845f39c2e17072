"""Where a submission's records come from: stdin, JSON Lines, pictures, or a data set."""

from __future__ import annotations

import os
import re
from collections.abc import Callable, Iterable, Iterator, Sequence
from contextlib import contextmanager
from dataclasses import dataclass, replace
from pathlib import Path
from typing import BinaryIO

from regioncap.errors import UsageError
from regioncap.files import open_input
from regioncap.inputs.boxes import settle
from regioncap.inputs.datasets import find_dataset
from regioncap.inputs.fields import bad_dataset
from regioncap.inputs.hub import bring, is_on_hub
from regioncap.inputs.in_store import brought, is_in_store
from regioncap.inputs.lines import read_lines
from regioncap.inputs.pictures import is_picture, look_into, pictures_of, tell_left_out
from regioncap.inputs.reading import Reading
from regioncap.plurals import counted
from regioncap.records import InputRecord
from regioncap.settings import JobSettings, Settings, load_settings

#: Stands for stdin on the command line.
STDIN = "-"
_HEAD_BYTES = 1 << 16


@dataclass(frozen=True, slots=True)
class Source:
    """An open source of records, to be read once."""

    #: As the user named it.
    name: str
    #: Folder of its file, beside which pictures are looked for.
    root: Path
    #: Records whose boxes are settled.
    records: Iterator[InputRecord]
    #: How much of it has been read, 0 to 1; None where that cannot be told.
    fraction: Callable[[], float | None]
    #: What it was taken for, and what of it was left out.
    reading: Reading
    #: The folder that the user names for pictures, if any.
    image_root: Path | None = None


#: What the user names as one input: a file, a folder and the like, or some pictures.
Target = str | Sequence[Path]


def grouped(names: Iterable[str]) -> list[Target]:
    """The inputs that some names are: pictures together are one, all else is one each."""
    targets: list[Target] = []
    pictures: list[Path] = []
    for name in names:
        path = Path(name)
        if name != STDIN and is_picture(path) and path.is_file():
            if not pictures:
                targets.append(pictures)
            pictures.append(path)
        else:
            targets.append(name)
    return [
        str(pictures[0]) if each is pictures and len(pictures) == 1 else each for each in targets
    ]


@contextmanager
def open_source(
    target: Target, stdin: BinaryIO, root: Path | None = None, settings: JobSettings | None = None
) -> Iterator[Source]:
    """Opens what the user named.

    Args:
        target: A file with records, a picture, a folder, or `-`; the s3:// name of an object or
            a folder; or some pictures.
        stdin: What `-` reads.
        root: Folder that pictures are looked for in, besides the file's own and the working folder.
        settings: How boxes are meant; by default as by default. Of what lies in a store, where that
            is, too.

    Raises:
        UsageError: It cannot be read (`no-input-file`).
        StoreError: The store in which it lies is away.
    """
    if not isinstance(target, str):
        yield _of_pictures(target, root, settings or JobSettings())
        return
    if is_on_hub(target):
        where = settings if isinstance(settings, Settings) else load_settings()
        place = bring(target, where.hf_cache_dir)
        with _open_here(str(place), stdin, root, settings) as source:
            yield replace(source, name=target)
        return
    base = _in_store(root)
    if not is_in_store(target):
        if base:
            raise UsageError(
                f"{base} is in a store, and {target} is not", code="no-image-root",
                hint="put s3:// names into the records",
            )  # fmt: skip
        with _open_here(target, stdin, root, settings) as source:
            yield source
        return
    if root is not None and not base:
        raise UsageError(
            f"{target} is in a store, and {root} is not", code="no-image-root",
            hint="name a folder of the store, as s3://bucket/folder",
        )  # fmt: skip
    where = settings if isinstance(settings, Settings) else load_settings()
    with (
        brought(target, where, base) as found,
        _open_here(str(found.path), stdin, None, settings, is_confined=True) as source,
    ):
        for name in found.left_out:
            source.reading.leave_out("objects whose names cannot be used here", name)
        records = (found.placed(record) for record in source.records)
        yield replace(source, name=target, records=records)


def _in_store(root: Path | None) -> str | None:
    """The s3:// name that a path was made of."""
    text = "" if root is None else str(root)
    return f"s3://{text.removeprefix('s3:/')}/" if text.startswith("s3:/") else None


@contextmanager
def _open_here(
    target: str,
    stdin: BinaryIO,
    root: Path | None,
    settings: JobSettings | None,
    *,
    is_confined: bool = False,
) -> Iterator[Source]:
    path = Path(target)
    settings = settings or JobSettings()
    is_confined |= isinstance(settings, Settings) and settings.confine_images
    if root is not None and not root.is_dir():
        raise UsageError(f"{root} is no folder", code="no-image-root")

    def source(
        beside: Path,
        records: Iterable[InputRecord],
        fraction: Callable[[], float | None],
        reading: Reading,
    ) -> Source:
        settled = (settle(record, settings) for record in records)
        return Source(
            target if target != STDIN else "stdin", beside, settled, fraction, reading, root
        )

    if target == STDIN:
        yield source(Path(), read_lines(stdin), lambda: None, Reading("JSON Lines"))
    elif found := find_dataset(path, is_confined=is_confined):
        yield source(found.root, found.records, lambda: None, found.reading)
    elif path.is_dir():
        reading = Reading("pictures without boxes")
        contents = look_into(path)
        tell_left_out(path, contents, reading)
        yield source(path, *_pictures_of(path, pictures_of(path), contents.pictures), reading)
    elif path.is_file() and is_picture(path):
        reading = Reading("a picture")
        yield source(path.parent, *_pictures_of(path.parent, iter([path.name]), 1), reading)
    else:
        with open_input(path) as file:
            _check_text(path, file)
            size = os.fstat(file.fileno()).st_size
            yield source(
                path.parent,
                read_lines(file),
                lambda: file.tell() / size if size else None,
                Reading("JSON Lines"),
            )


def _check_text(path: Path, file: BinaryIO) -> None:
    """Refuses a file that is no text: its lines would be errors, a million of them perhaps."""
    if not file.seekable():
        return
    head = file.read(_HEAD_BYTES)
    file.seek(0)
    if b"\0" in head and not re.search(rb"^\s*\{", head, re.MULTILINE):
        raise bad_dataset(path, "a binary file, no JSON Lines", "give one JSON object a line")


def _of_pictures(paths: Sequence[Path], root: Path | None, settings: JobSettings) -> Source:
    """Pictures that were named one by one."""
    read = 0

    def records() -> Iterator[InputRecord]:
        nonlocal read
        for index, path in enumerate(paths):
            read = index + 1
            made = InputRecord(index=index, line=read, image=str(path), picture=path)
            yield settle(made, settings)

    def fraction() -> float:
        return read / len(paths)

    name = counted(len(paths), "picture")
    return Source(name, Path(), records(), fraction, Reading("pictures without boxes"), root)


def no_records(name: str) -> UsageError:
    """The error of a source that is empty."""
    return UsageError(
        f"{name or 'the input'} holds no records",
        code="no-records",
        hint="give a file with one JSON object a line, or a folder with .jpg, .png or .webp files",
    )


def _pictures_of(
    root: Path, pictures: Iterator[str], total: int
) -> tuple[Iterator[InputRecord], Callable[[], float | None]]:
    read = 0

    def records() -> Iterator[InputRecord]:
        nonlocal read
        for index, name in enumerate(pictures):
            read = index + 1
            yield InputRecord(index=index, line=read, image=name, picture=root / name)

    return records(), lambda: read / total if total else None
