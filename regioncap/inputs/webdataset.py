"""WebDataset shards: pictures and, with the same stem, JSON with their boxes; read by webdataset.

Nothing of a shard is decoded but its JSON: other members, pickles among them, stay bytes.
"""

from __future__ import annotations

import tarfile
from collections.abc import Iterator
from pathlib import Path
from typing import Any

from regioncap.inputs.fields import (
    MAX_PICTURE_BYTES,
    bad_dataset,
    give_picture,
    make_record,
    read_json,
)
from regioncap.packages import require
from regioncap.records import InputRecord

_PICTURES = ("jpg", "jpeg", "png", "webp")


def read(files: list[Path]) -> Iterator[InputRecord]:
    """Records of the shards, in order, as a stream; `image` is shard and key.

    Raises:
        UsageError: webdataset is missing (`missing-extra`), or a shard is none (`bad-dataset`).
    """
    for index, (path, sample) in enumerate(_samples(files)):
        yield _record(path, sample, index)


def _samples(files: list[Path]) -> Iterator[tuple[Path, dict[str, Any]]]:
    require("webdataset", "reading WebDataset shards")
    from webdataset.tariterators import group_by_keys

    for path in files:
        try:
            for sample in group_by_keys(_members(path)):
                yield path, sample
        except (tarfile.TarError, OSError, ValueError) as error:
            raise bad_dataset(path, f"cannot be read as a WebDataset shard: {error}") from error


def _members(path: Path) -> Iterator[dict[str, Any]]:
    """What `group_by_keys` takes: of each file its name and bytes, of one too large the first.

    webdataset's own reader also opens what is compressed, however large it becomes.
    """
    with tarfile.open(path, "r:") as tar:
        for member in tar:
            file = tar.extractfile(member) if member.isreg() else None
            if file is not None:
                data = file.read(MAX_PICTURE_BYTES + 1)
                yield {"fname": member.name, "data": data, "__url__": str(path)}
            tar.members = []  # type: ignore[attr-defined]  # else it keeps them all


def _record(path: Path, sample: dict[str, Any], index: int) -> InputRecord:
    extension = next((name for name in _PICTURES if name in sample), None)
    fields = _json(path, sample)
    # The JSON may be a result of ours, whose `image` names a file that lies somewhere else.
    earlier = fields.pop("image", None)
    fields["image"] = f"{path.name}/{sample['__key__']}.{extension}" if extension else None
    if earlier is not None:
        fields["source_image"] = earlier
    return give_picture(make_record(fields, index=index), sample[extension] if extension else None)


def _json(path: Path, sample: dict[str, Any]) -> dict[str, Any]:
    if "json" not in sample:
        return {}
    fields = read_json(path, sample["json"], f"{sample['__key__']}.json")
    return fields if isinstance(fields, dict) else {"json": fields}
