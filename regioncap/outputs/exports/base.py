"""What an export format is: results in, files that other tools read out.

A format is one module with one class and one line in `regioncap.outputs.exports`. It gets the
results as a stream and holds a few of them at a time, so that a job of any size fits. How boxes are
meant is said in what it writes, in words of the format's own.
"""

from __future__ import annotations

from collections.abc import Iterable, Iterator, Mapping
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


def own_of(record: Mapping[str, Any], region: Mapping[str, Any]) -> Own:
    """What the source said of a region, as far as meta tells."""
    at, count = region["region"] - 1, len(record["regions"])
    lists = [record["meta"].get(name) for name in _LISTS]
    return Own(
        *(each[at] if isinstance(each, list) and len(each) == count else None for each in lists)
    )


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
