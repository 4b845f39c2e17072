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
    """Members of one stem."""

    key: str
    members: dict[str, bytes] = field(default_factory=dict)
    #: Extension of the picture, without its dot.
    picture: str = ""

    def takes(self, stem: str, extension: str) -> bool:
        """Whether a member is of this sample: `7.json` is of `7.image.jpg`."""
        is_same = stem == self.key or _extends(stem, self.key) or _extends(self.key, stem)
        is_second = is_picture(Path(f"x.{extension}")) and self.picture and stem != self.key
        return is_same and not is_second


def _extends(longer: str, shorter: str) -> bool:
    return longer.startswith(shorter + ".") and not longer[len(shorter) + 1 :].isdigit()


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
    sample: _Sample | None = None
    for name, read_data in members:
        stem, dot, extension = name.rpartition(".")
        if not dot or not stem or "/" in extension:
            reading.leave_out("members without an extension", name)
            continue
        extension = extension.lower()
        if sample is None or not sample.takes(stem, extension):
            if sample is not None:
                yield sample
            sample = _Sample(stem)
        if extension in sample.members:
            raise ValueError(f"{name} is there twice")
        is_its_picture = is_picture(Path(f"x.{extension}")) and not sample.picture
        # The others count by their names: any number of them, of any length, belong to a sample.
        sample.members[extension] = read_data() if extension == "json" or is_its_picture else b""
        if is_its_picture:
            sample.key, sample.picture = stem, extension
    if sample is not None:
        yield sample


def _record(path: Path, sample: _Sample, index: int, reading: Reading) -> InputRecord:
    said = sample.members.get("json")
    fields = _parsed(path, f"{sample.key}.json", said) if said is not None else {}
    # The JSON may be a result of ours, whose `image` names a file that lies somewhere else.
    earlier = fields.pop("image", None)
    fields["image"] = f"{path.name}/{sample.key}.{sample.picture or '?'}"
    if earlier is not None:
        fields["source_image"] = earlier
    record = make_record(fields, index=index, reading=reading)
    if not sample.picture:
        what = f"the sample {sample.key} holds no picture ({', '.join(sample.members)})"
        record.error = Problem(code="no-image", message=what, stage="submit")
    return give_picture(record, sample.members[sample.picture] if sample.picture else None)


def _parsed(path: Path, name: str, said: bytes) -> dict[str, Any]:
    fields = read_json(path, said, name)
    if isinstance(fields, list) and all(isinstance(each, dict) for each in fields):
        return {"annotations": fields}
    if isinstance(fields, list) and all(map(four_numbers, fields)):
        return {"bbox": fields}
    return fields if isinstance(fields, dict) else {"json": fields}


FORM = Form("WebDataset", _knows, read, (".tar",))
