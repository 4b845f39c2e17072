"""WebDataset shards: pictures and, with the same stem, JSON with their boxes; read by webdataset.

Nothing of a shard is decoded but its JSON: other members, pickles among them, stay bytes.
"""

from __future__ import annotations

import json
from collections.abc import Iterator
from pathlib import Path
from typing import Any

from regioncap.inputs.fields import bad_dataset, make_record
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
    import tarfile

    from webdataset.tariterators import group_by_keys, tar_file_expander

    for path in files:
        try:
            with path.open("rb") as stream:
                members = tar_file_expander([{"url": str(path), "stream": stream}])
                for sample in group_by_keys(members):
                    yield path, sample
        except (tarfile.TarError, OSError, ValueError) as error:
            raise bad_dataset(path, f"cannot be read as a WebDataset shard: {error}") from error


def _record(path: Path, sample: dict[str, Any], index: int) -> InputRecord:
    extension = next((name for name in _PICTURES if name in sample), None)
    fields = _json(path, sample)
    # The JSON may be a result of ours, whose `image` names a file that lies somewhere else.
    earlier = fields.pop("image", None)
    fields["image"] = f"{path.name}/{sample['__key__']}.{extension}" if extension else None
    if earlier is not None:
        fields["source_image"] = earlier
    record = make_record(fields, index=index)
    record.picture = sample[extension] if extension else None
    return record


def _json(path: Path, sample: dict[str, Any]) -> dict[str, Any]:
    if "json" not in sample:
        return {}
    try:
        fields = json.loads(sample["json"])
    except ValueError as error:
        raise bad_dataset(path, f"{sample['__key__']}.json is no JSON: {error}") from error
    return fields if isinstance(fields, dict) else {"json": fields}
