"""WebDataset shards: pictures and, with the same stem, JSON with their boxes.

Nothing of a shard is decoded but its JSON: other members, pickles among them, stay bytes. Members
are put together here: webdataset ends a key at its first dot, and so takes `22.05.png` and
`22.06.png` for one sample.
"""

from __future__ import annotations

import tarfile
from collections.abc import Callable, Iterator
from dataclasses import dataclass, field
from functools import partial
from pathlib import Path
from typing import Any

from regioncap.inputs.box_fields import has_box_fields
from regioncap.inputs.fields import (
    MAX_PICTURE_BYTES,
    bad_dataset,
    give_picture,
    make_record,
    read_json,
)
from regioncap.inputs.forms.base import Form, Input, Sample
from regioncap.inputs.pictures import is_picture
from regioncap.inputs.reading import Reading
from regioncap.records import InputRecord, Problem
from regioncap.views.box_formats import four_numbers

#: Name of a file in an archive, and what reads it: of one too large, the first of its bytes.
_Member = tuple[str, Callable[[], bytes]]


@dataclass(slots=True)
class _Sample:
    """Members that belong together."""

    #: Their stem; that of the picture, once there is one.
    key: str
    #: Extension of the picture, without its dot.
    extension: str = ""
    picture: bytes = b""
    #: What is said of it, by the name of the member.
    said: dict[str, bytes] = field(default_factory=dict)
    #: The others count by their names: any number of them, of any length, belong to a sample.
    others: list[str] = field(default_factory=list)

    def takes(self, other: _Sample) -> bool:
        """Whether members of another stem are of this sample: `7.json` is of `7.image.jpg`."""
        return _extends(other.key, self.key) or _extends(self.key, other.key)

    def add(self, other: _Sample) -> None:
        """Adds members that have no picture."""
        self.said |= other.said
        self.others += other.others


def _extends(longer: str, shorter: str) -> bool:
    return longer.startswith(shorter + ".") and not longer[len(shorter) + 1 :].isdigit()


def _root(stem: str) -> str:
    """What a stem begins with, up to the first dot after which there is a word."""
    while _extends(stem, shorter := stem.rpartition(".")[0]) and shorter:
        stem = shorter
    return stem


def _knows(sample: Sample) -> bool:
    return sample.head[257:262] == b"ustar"


def read(source: Input) -> Iterator[InputRecord]:
    """Records of the shards, in order, as a stream; `image` is shard and key.

    A picture without boxes has no regions if any sample has a field of boxes.

    Raises:
        UsageError: A shard is none (`bad-dataset`).
    """
    annotated = any(map(_has_boxes, source.files))
    for index, (path, sample) in enumerate(_samples(source.files, source.reading)):
        record = _record(path, sample, index, source.reading)
        record.annotated = annotated
        yield record


def _has_boxes(path: Path) -> bool:
    return any(
        has_box_fields(_parsed(path, name, read_data()))
        for name, read_data in _members(path)
        if name.endswith(".json")
    )


def _no_shard(path: Path, error: BaseException) -> Exception:
    return bad_dataset(path, f"cannot be read as a WebDataset shard: {error}")


def _samples(files: list[Path], reading: Reading) -> Iterator[tuple[Path, _Sample]]:
    for path in files:
        try:
            for sample in _grouped(_members(path), reading):
                yield path, sample
        except ValueError as error:
            raise _no_shard(path, error) from error


def _members(path: Path) -> Iterator[_Member]:
    """The files of an archive, which must not be compressed: those can become of any size.

    Raises:
        UsageError: It is no such archive (`bad-dataset`).
    """
    try:
        with tarfile.open(path, "r:") as tar:
            for member in tar:
                file = tar.extractfile(member) if member.isreg() else None
                if file is not None:
                    yield member.name, partial(file.read, MAX_PICTURE_BYTES + 1)
                tar.members = []  # type: ignore[attr-defined]  # else it keeps them all
    except (tarfile.TarError, OSError, EOFError) as error:
        raise _no_shard(path, error) from error


def _grouped(members: Iterator[_Member], reading: Reading) -> Iterator[_Sample]:
    """Samples: those of a stem, and those of longer and shorter stems that have no picture.

    `7.boxes.json` may stand before `7.jpg` and `7.words.json` after it; but `7.small.json` before
    `7.small.jpg` is of that picture, though it follows `7.jpg`.
    """
    sample: _Sample | None = None
    #: Of one root, and of a picture that may come yet.
    waiting: list[_Sample] = []
    for stem in _by_stem(members, reading):
        if stem.extension:
            if sample is not None:
                yield sample
            for other in waiting:
                if stem.takes(other):
                    stem.add(other)
                else:
                    yield other
            sample, waiting = stem, []
        elif sample is not None and sample.takes(stem):
            sample.add(stem)
        else:
            if waiting and _root(waiting[0].key) != _root(stem.key):
                if sample is not None:
                    yield sample
                yield from waiting
                sample, waiting = None, []
            waiting.append(stem)
    if sample is not None:
        yield sample
    yield from waiting


def _by_stem(members: Iterator[_Member], reading: Reading) -> Iterator[_Sample]:
    """Members of one stem, as far as they follow each other.

    Raises:
        ValueError: A member is there twice.
    """
    sample, seen = _Sample(""), set[str]()
    for name, read_data in members:
        stem, dot, extension = name.rpartition(".")
        if not dot or not stem or "/" in extension:
            reading.leave_out("members without an extension", name)
            continue
        if stem != sample.key:
            if seen:
                yield sample
            sample, seen = _Sample(stem), set()
        extension = extension.lower()
        if extension in seen:
            raise ValueError(f"{name} is there twice")
        seen.add(extension)
        if extension == "json":
            sample.said[name] = read_data()
        elif is_picture(Path(f"x.{extension}")):
            if sample.extension:
                reading.leave_out("second pictures of a sample", name)
            else:
                sample.extension, sample.picture = extension, read_data()
        else:
            sample.others.append(name)
    if seen:
        yield sample


def _record(path: Path, sample: _Sample, index: int, reading: Reading) -> InputRecord:
    fields = _fields(path, sample)
    # The JSON may be a result of ours, whose `image` names a file that lies somewhere else.
    earlier = fields.pop("image", None)
    fields["image"] = f"{path.name}/{sample.key}.{sample.extension or '?'}"
    if earlier is not None:
        fields["source_image"] = earlier
    record = make_record(fields, index=index, reading=reading)
    if not sample.extension:
        there = ", ".join([*sample.said, *sample.others])
        what = f"the sample {sample.key} holds no picture ({there})"
        record.error = Problem(code="no-image", message=what, stage="submit")
    return give_picture(record, sample.picture if sample.extension else None)


def _fields(path: Path, sample: _Sample) -> dict[str, Any]:
    """All that is said of a sample; what two members call alike has the name of the second too."""
    own = f"{sample.key}.json"
    fields: dict[str, Any] = {}
    for name in sorted(sample.said, key=lambda name: name != own):
        for field_name, value in _parsed(path, name, sample.said[name]).items():
            if fields.setdefault(field_name, value) != value:
                fields[f"{name}: {field_name}"] = value
    return fields


def _parsed(path: Path, name: str, said: bytes) -> dict[str, Any]:
    fields = read_json(path, said, name)
    if isinstance(fields, list) and all(isinstance(each, dict) for each in fields):
        return {"annotations": fields}
    if isinstance(fields, list) and all(map(four_numbers, fields)):
        return {"bbox": fields}
    return fields if isinstance(fields, dict) else {"json": fields}


FORM = Form("WebDataset", _knows, read, (".tar",))
