"""A folder in the `imagefolder` layout of Hugging Face datasets, with a dataset card.

    README.md               dataset card: what this is, how boxes are meant
    train/metadata.parquet  one row per picture: file_name, objects, ...
    train/0000/00000000.jpg pictures, a thousand a folder

The table is Parquet, which says itself what its columns hold: of JSON Lines the first rows decide,
and a value that comes late ends the loading. `objects` holds lists of equal length, as data sets
for object detection on the hub do.
"""

from __future__ import annotations

from collections.abc import Iterable, Iterator, Mapping
from pathlib import Path
from typing import Any

from regioncap.outputs.exports.base import (
    BOX_CONVENTION,
    About,
    Item,
    Pictures,
    attributes_json,
    captioned_regions,
    compact_json,
    has_caption,
    own_of,
    record_id,
)
from regioncap.outputs.exports.parquet import batches

#: Pictures in one folder: hubs and file systems dislike tens of thousands.
_FOLDER_PICTURES = 1000

_CARD = """\
---
pretty_name: {title}
task_categories:
- image-to-text
- object-detection
configs:
- config_name: default
  drop_labels: true
  data_files:
  - split: train
    path: train/**
---

# {heading}

Captions of image regions, made by RegionCap, job `{job}`.

Each row has an `image` and `objects`: lists of equal length with `region` (its number), `bbox`,
`caption`, `label` (what the source called it), `verified` (whether the model, asked back, found the
caption true of its region), `verified_as` (the region that it named) and `attributes` (as JSON);
null where not asked for. A `bbox` is {convention}.
`image_caption` describes the whole picture, where that was asked for.

    from datasets import load_dataset
    rows = load_dataset("path/of/this/folder", split="train")
"""


class HuggingFace:
    """Pictures with a caption; the picture files lie beside their metadata."""

    name = "hf"
    makes_folder = True
    pictures: Pictures = "all"
    packages: tuple[str, ...] = ("pyarrow",)

    def write(self, items: Iterable[Item], path: Path, about: About) -> None:
        """Fills a folder; see `Format.write`."""
        heading = " ".join(about.title.split())
        card = _CARD.format(
            title=compact_json(heading),
            heading=heading,
            job=about.job,
            convention=BOX_CONVENTION,
        )
        (path / "README.md").write_text(card, encoding="utf-8")
        train = path / "train"
        train.mkdir()
        import pyarrow.parquet as pq

        schema = _schema()
        with pq.ParquetWriter(train / "metadata.parquet", schema, compression="zstd") as writer:
            for table in batches(_rows(items, train), schema):
                writer.write_table(table)


def _rows(items: Iterable[Item], train: Path) -> Iterator[dict[str, Any]]:
    """Rows of the table; their pictures are written on the way."""
    for item in items:
        regions = list(captioned_regions(item.record))
        if has_caption(item.record) and item.picture is not None:
            name = file_name(item.record["index"], item.picture.extension)
            (train / name).parent.mkdir(exist_ok=True)
            (train / name).write_bytes(item.picture.data)
            yield _row(item.record, regions, name)


def _schema() -> Any:
    import pyarrow as pa

    objects = {
        "region": pa.list_(pa.int64()),
        "bbox": pa.list_(pa.list_(pa.float64())),
        "caption": pa.list_(pa.string()),
        "label": pa.list_(pa.string()),
        "verified": pa.list_(pa.bool_()),
        "verified_as": pa.list_(pa.int64()),
        "attributes": pa.list_(pa.string()),
    }
    return pa.schema(
        {
            "file_name": pa.string(),
            "id": pa.string(),
            "index": pa.int64(),
            "source_image": pa.string(),
            "width": pa.int64(),
            "height": pa.int64(),
            "image_caption": pa.string(),
            "objects": pa.struct(objects),
            "model": pa.string(),
            "meta": pa.string(),
        }
    )


def file_name(index: int, extension: str) -> str:
    """Where the picture of a record lies in a folder."""
    return f"{index // _FOLDER_PICTURES:04d}/{index:08d}.{extension}"


def _row(
    record: Mapping[str, Any], regions: list[Mapping[str, Any]], file_name: str
) -> dict[str, Any]:
    return {
        "file_name": file_name,
        "id": record_id(record),
        "index": record["index"],
        "source_image": record["image"],
        "width": record["width"],
        "height": record["height"],
        "image_caption": record.get("image_caption"),
        "objects": {
            "region": [region["region"] for region in regions],
            "bbox": [region["bbox"] for region in regions],
            "caption": [region["caption"] for region in regions],
            "label": [own_of(record, region).label for region in regions],
            "verified": [region.get("verified") for region in regions],
            "verified_as": [region.get("verified_as") for region in regions],
            "attributes": [attributes_json(region) for region in regions],
        },
        "model": record["model"],
        "meta": compact_json(record["meta"]),
    }
