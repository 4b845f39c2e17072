"""WebDataset: tar shards of pictures and JSON with the same stem, written with webdataset.

`shard-000000.tar` holds `00000000.jpg`, `00000000.json`, `00000001.jpg` and so on, by record index.
"""

from __future__ import annotations

from collections.abc import Iterable
from pathlib import Path

from regioncap.outputs.exports.base import (
    BOX_CONVENTION,
    BOX_FORMAT,
    About,
    Item,
    Pictures,
    compact_json,
    has_caption,
)

#: A shard is closed beyond this size or number of samples; about a gigabyte reads well.
_SHARD_BYTES = 1_000_000_000
_SHARD_SAMPLES = 10_000


class WebDataset:
    """Pictures with a caption; the JSON is the whole result with its box convention."""

    name = "webdataset"
    makes_folder = True
    pictures: Pictures = "all"
    packages: tuple[str, ...] = ("webdataset",)

    def write(self, items: Iterable[Item], path: Path, about: About) -> None:
        """Fills a folder; see `Format.write`."""
        from webdataset.writer import ShardWriter

        with ShardWriter(
            str(path / "shard-%06d.tar"),
            maxcount=_SHARD_SAMPLES,
            maxsize=_SHARD_BYTES,
            verbose=0,
            encoder=False,
            user="regioncap",
            group="regioncap",
            mtime=about.created.timestamp(),
        ) as writer:
            for item in items:
                if item.picture is None or not has_caption(item.record):
                    continue
                said = {"box_format": BOX_FORMAT, "box_convention": BOX_CONVENTION}
                writer.write(
                    {
                        "__key__": f"{item.record['index']:08d}",
                        item.picture.extension: item.picture.data,
                        "json": compact_json({**item.record, **said}).encode(),
                    }
                )
