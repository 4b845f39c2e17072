"""What a form of annotations is: how its files are known, and what reads them.

A reader is one module with a `Form`, and one line in `regioncap.inputs.forms`. It yields a record a
picture, as a stream; the names and ids that its files give boxes come in lists of `meta`, one value
a box: `categories`, and where there are any `category_ids` and `annotation_ids`.
"""

from __future__ import annotations

from collections.abc import Callable, Iterable, Iterator
from dataclasses import dataclass, field
from functools import cached_property
from pathlib import Path
from typing import Any

from regioncap.inputs.fields import bad_dataset, make_record
from regioncap.inputs.forms.document import Document, read_document
from regioncap.inputs.reading import Reading
from regioncap.records import InputRecord
from regioncap.settings import BoxFormat

_HEAD_BYTES = 1 << 16


class Sample:
    """A file, as far as is needed to know its form.

    Args:
        path: The file.
    """

    def __init__(self, path: Path) -> None:
        self.path = path

    @cached_property
    def head(self) -> bytes:
        """The first 64 KiB, without a byte order mark; raises UsageError if there is no reading."""
        try:
            with self.path.open("rb") as file:
                return file.read(_HEAD_BYTES).removeprefix(b"\xef\xbb\xbf")
        except OSError as error:
            raise bad_dataset(self.path, f"cannot be read: {error.strerror}") from error

    @property
    def start(self) -> bytes:
        """The first byte that is no white space; empty if there is none."""
        return self.head.lstrip()[:1]

    @cached_property
    def document(self) -> Document | None:
        """The file's JSON, read no deeper than is asked for; None if it is none."""
        return read_document(self.path) if self.start in {b"{", b"["} else None


@dataclass(frozen=True, slots=True)
class Input:
    """Files of one form, to be read."""

    #: Folder that image paths are relative to.
    root: Path
    files: list[Path]
    reading: Reading
    #: Whether the user named the folder, and means all pictures in it.
    is_folder: bool = False
    #: Whether nothing outside of the root may be read: a service that takes the files of others.
    is_confined: bool = False


@dataclass(frozen=True, slots=True)
class Form:
    """A form of annotations that is read."""

    #: As people call it.
    name: str
    #: Whether a file is of it; raises UsageError for one that is, and cannot be read.
    knows: Callable[[Sample], bool]
    #: Reads files of it.
    read: Callable[[Input], Iterator[InputRecord]]
    #: Endings under which files of it lie beside pictures.
    suffixes: tuple[str, ...]
    #: Whether each picture has a file of its own.
    is_per_picture: bool = False


@dataclass(slots=True)
class Boxes:
    """The boxes of one picture, with what belongs to each."""

    boxes: list[Any] = field(default_factory=list)
    #: Values by the name that they have in `meta`, one a box.
    lists: dict[str, list[Any]] = field(default_factory=dict)

    def add(self, box: Any, **values: Any) -> None:
        """Adds a box; all get values of the same names."""
        self.boxes.append(box)
        for name, value in values.items():
            self.lists.setdefault(name, []).append(value)


def record_of(
    image: str | None,
    boxes: Boxes | None,
    box_format: BoxFormat | None,
    *,
    index: int,
    reading: Reading,
    picture: Path | bytes | None = None,
    **fields: Any,
) -> InputRecord:
    """A record of a picture and its boxes.

    Args:
        image: The picture as records name it.
        boxes: Its boxes; None asks for proposals.
        box_format: How they are meant; None is the job's setting.
        index: Number of the record, from 0.
        reading: Told of what is left out.
        picture: The picture, or its file, where the reader knows it.
        fields: All else, for `meta`, but `id`; those that are None are left out.
    """
    rest = {name: value for name, value in fields.items() if value is not None}
    lists = boxes.lists if boxes else {}
    given = boxes.boxes if boxes else None
    record = make_record(
        {**rest, **lists, "image": image, "bbox": given}, index=index, reading=reading
    )
    record.box_format = box_format
    record.picture = picture
    return record


def hull(xs: Iterable[float], ys: Iterable[float]) -> list[float] | None:
    """The box around points, as corners; None if it has no area."""
    all_x, all_y = list(xs), list(ys)
    if not all_x or not all_y:
        return None
    left, top, right, bottom = min(all_x), min(all_y), max(all_x), max(all_y)
    return [left, top, right, bottom] if right > left and bottom > top else None
