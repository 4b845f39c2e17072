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
from regioncap.inputs.pictures import is_picture, pictures_of
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


class Pictures:
    """Finds the pictures that annotation files name, in whatever layout they lie.

    Args:
        source: What is read.
    """

    def __init__(self, source: Input) -> None:
        self._root = source.root
        self._reading = source.reading
        self._is_folder = source.is_folder
        self._taken: set[str] = set()
        self._names: list[str] = []
        if source.is_folder:
            for name in pictures_of(source.root):
                if any(_is_of_masks(part) for part in Path(name).parts[:-1]):
                    self._reading.leave_out("pictures in folders of masks", name)
                else:
                    self._names.append(name)
        else:
            beside = dict.fromkeys(file.parent for file in source.files)
            for folder in beside:
                near = sorted(each.name for each in folder.iterdir() if each.is_file())
                self._names += [str((folder / n).relative_to(source.root)) for n in near]
        self._by_name: dict[str, list[str]] = {}
        self._by_stem: dict[str, list[str]] = {}
        for name in self._names:
            path = Path(name)
            self._by_name.setdefault(path.name, []).append(name)
            if source.is_folder or is_picture(path):
                self._by_stem.setdefault(path.stem, []).append(name)

    def find(self, file: Path, named: str | None, *, by_stem: bool = False) -> str | None:
        """The picture of an annotation file, relative to the root; None if none is there.

        Args:
            file: The annotation file.
            named: The name that it gives.
            by_stem: Whether it has the picture's own name, which then counts more than the name
                that it gives: files are renamed, and what stands in them stays.
        """
        beside = file.parent.relative_to(self._root)
        said = named.replace("\\", "/") if named else ""
        alike = self._by_stem.get(file.stem, []) if by_stem else []
        same = [each for each in alike if Path(each).name == Path(said).name]
        of_stem = _nearest(same or alike, beside)
        of_name = self._named(said, beside) if said else None
        if of_stem and of_name and of_stem != of_name and Path(of_name).stem != file.stem:
            what = "pictures' names in files of another picture's name, which is taken"
            self._reading.leave_out(what, f"{named} in {file.name}")
            of_name = of_stem
        found = of_name or of_stem
        if found:
            self._taken.add(found)
        return found

    def _named(self, said: str, beside: Path) -> str | None:
        name = Path(said).name
        known = self._by_name.get(name, [])
        exact = [each for each in known if f"/{each}".endswith(f"/{said.lstrip('./')}")]
        found = _nearest(exact or known, beside)
        return found or _nearest(self._by_stem.get(name, []), beside)  # named without an ending

    def path(self, name: str | None) -> Path | None:
        """The file of a name that was found."""
        return self._root / name if name else None

    def others(self) -> Iterator[str]:
        """The pictures beside those that were found; in other folders they are left out."""
        if not self._is_folder:
            return
        folders = {Path(name).parent for name in self._taken}
        for name in self._names:
            if name in self._taken:
                continue
            if Path(name).parent in folders:
                yield name
            else:
                self._reading.leave_out("pictures in folders of which no annotation speaks", name)

    def leave_out_others(self) -> None:
        """Notes the pictures of `others` as left out: the annotations do not name them."""
        for name in self.others():
            self._reading.leave_out("pictures that the annotations do not name", name)


def _is_of_masks(folder: str) -> bool:
    """Whether a folder holds Pascal VOC's masks, which have the names of their pictures."""
    return folder.startswith(("SegmentationClass", "SegmentationObject"))


def _nearest(names: list[str], beside: Path) -> str | None:
    """The one of some files that lies nearest to a folder; None if two are as near."""
    if len(names) < 2:
        return names[0] if names else None
    ranked = sorted((-_shared(Path(name).parent, beside), name) for name in names)
    return ranked[0][1] if ranked[0][0] != ranked[1][0] else None


#: What folders of pictures are called.
_USUAL = {"images", "jpegimages", "image_2", "imgs", "img"}


def _shared(one: Path, other: Path) -> float:
    """How near two folders are: the same is nearest, then those that share most of their path."""
    if one == other:
        return float("inf")
    a, b = one.parts, other.parts
    common = next((n for n, (x, y) in enumerate(zip(a, b, strict=False)) if x != y), None)
    shared = min(len(a), len(b)) if common is None else common
    # `train/labels` has `train/images`, and of `labels/train` the nearest is `images/train`; what
    # shows the annotations lies in folders of other names.
    is_alike = bool(a and b) and a[-1] == b[-1]
    return (
        shared + (0.5 if is_alike else 0) + (0.25 if _USUAL & {part.lower() for part in a} else 0)
    )
