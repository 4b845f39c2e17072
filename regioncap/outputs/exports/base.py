"""What an export format is: results in, files that other tools read out.

A format is one module with one class and one line in `regioncap.outputs.exports`. It gets the
results as a stream and holds a few of them at a time, so that a job of any size fits. How boxes are
meant is said in what it writes, in words of the format's own.
"""

from __future__ import annotations

import json
from collections.abc import Iterable, Iterator, Mapping
from contextlib import suppress
from dataclasses import dataclass
from datetime import datetime
from pathlib import Path
from typing import Any, Literal, Protocol

from regioncap.records import dump_json

Pictures = Literal["none", "unshown", "all"]
#: How boxes are meant in all formats but Label Studio's.
BOX_CONVENTION = (
    "[x, y, width, height] in pixels of the image as shown (EXIF orientation applied), "
    "origin at the top left"
)
#: The same in the word that `--box-format` takes.
BOX_FORMAT = "xywh"


@dataclass(frozen=True, slots=True)
class Encoded:
    """An encoded picture that lies the right way up without EXIF."""

    data: bytes
    #: File extension without the dot.
    extension: str


@dataclass(frozen=True, slots=True)
class Item:
    """One result and what belongs to it."""

    #: The result in its output form.
    record: Mapping[str, Any]
    #: s3:// URI of the picture without marks; None if it never came into the store.
    source: str | None = None
    #: The picture without marks; None unless the format takes it and there is one.
    picture: Encoded | None = None


@dataclass(frozen=True, slots=True)
class About:
    """What a format says of the whole."""

    job: str
    title: str
    created: datetime


class Format(Protocol):
    """One export format."""

    #: As in `--format`.
    name: str
    #: Whether it writes a folder rather than one file.
    makes_folder: bool
    #: Which pictures it needs: those that browsers do not show, all, or none.
    pictures: Pictures
    #: Packages that it imports beyond what RegionCap itself needs.
    packages: tuple[str, ...]

    def write(self, items: Iterable[Item], path: Path, about: About) -> None:
        """Writes everything.

        Args:
            items: The results in order; to be read once, as a stream.
            path: File to write, or an empty folder to fill.
            about: What to say of the whole.
        """


def captioned_regions(record: Mapping[str, Any]) -> Iterator[Mapping[str, Any]]:
    """The regions of a result that have a box and a caption."""
    for region in record["regions"]:
        if region["status"] == "ok" and region["bbox"] is not None:
            yield region


@dataclass(frozen=True, slots=True)
class Own:
    """What the source said of a region; None where it said nothing."""

    annotation_id: Any = None
    category_id: Any = None
    category: Any = None
    iscrowd: Any = None

    @property
    def label(self) -> str | None:
        """The category as text: columns hold one type."""
        named = self.category if self.category is not None else self.category_id
        return None if named is None else str(named)

    @property
    def id_text(self) -> str | None:
        """The annotation's id as text."""
        return None if self.annotation_id is None else str(self.annotation_id)


#: The lists of `meta` in which readers of inputs leave that, one value a region.
_LISTS = ("annotation_ids", "category_ids", "categories", "iscrowd")
#: What else sources call the category of a box, and the objects that have one each.
_LABELS = ("label", "labels", "category", "class", "class_name", "classes", "category_id")
_CONTAINERS = ("objects", "annotations", "instances", "regions", "detections", "object")


def own_of(record: Mapping[str, Any], region: Mapping[str, Any]) -> Own:
    """What the source said of a region, as far as meta tells."""
    meta, at, count = record["meta"], region["region"] - 1, len(record["regions"])
    said = [_one_of(meta.get(name), at, count) for name in _LISTS]
    if said[1] is None and said[2] is None:
        said[2] = _label_in(meta, at, count)
    return Own(*said)


def _one_of(value: Any, at: int, count: int) -> Any:
    """The value of one region, where there is one for each."""
    if isinstance(value, str) and value.startswith("["):  # a cell of a table
        with suppress(ValueError, RecursionError):
            value = json.loads(value)
    return value[at] if isinstance(value, list) and len(value) == count else None


def _label_in(meta: Mapping[str, Any], at: int, count: int) -> Any:
    for name in _LABELS:
        value = meta.get(name)
        one = value if count == 1 and not isinstance(value, list) else _one_of(value, at, count)
        if isinstance(one, str | int) and not isinstance(one, bool):
            return one
    for name in _CONTAINERS:
        value = meta.get(name)
        if isinstance(value, dict):
            found = _label_in(value, at, count)
        else:
            each = _one_of(value, at, count)
            found = _label_in(each, 0, 1) if isinstance(each, dict) else None
        if found is not None:
            return found
    return None


def has_caption(record: Mapping[str, Any]) -> bool:
    """Whether anything of a result is captioned, a region or the picture as a whole."""
    return bool(record.get("image_caption")) or any(captioned_regions(record))


def attributes_json(region: Mapping[str, Any]) -> str | None:
    """A region's attributes as text: columns hold one type, and schemas differ."""
    attributes = region.get("attributes")
    return None if attributes is None else compact_json(attributes)


def record_id(record: Mapping[str, Any]) -> str | None:
    """The user's own id as text: columns hold one type, ids may be numbers or text."""
    return None if record["id"] is None else str(record["id"])


def compact_json(value: Any) -> str:
    """JSON in one line that every encoder takes; see `dump_json`."""
    return dump_json(value).decode()
