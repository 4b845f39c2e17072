"""A folder in the `imagefolder` layout of Hugging Face datasets, with a dataset card.

    README.md               dataset card: what this is, how boxes are meant
    train/metadata.jsonl    one line per picture: file_name, objects, ...
    train/0000/00000000.jpg pictures, a thousand a folder

`objects` holds lists of equal length, as data sets for object detection on the hub do.
"""

from __future__ import annotations

from collections.abc import Iterable, Mapping
from pathlib import Path
from typing import Any

from regioncap.outputs.exports.base import (
    BOX_CONVENTION,
    About,
    Item,
    captioned_regions,
    compact_json,
    record_id,
)

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

Each row has an `image` and `objects`: lists of equal length with `region` (its number), `bbox` and
`caption`. A `bbox` is {convention}.

    from datasets import load_dataset
    rows = load_dataset("path/of/this/folder", split="train")
"""


class HuggingFace:
    """Pictures with a caption; the picture files lie beside their metadata."""

    name = "hf"
    makes_folder = True
    takes_pictures = True
    packages: tuple[str, ...] = ()

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
        with (train / "metadata.jsonl").open("w", encoding="utf-8", newline="\n") as file:
            for item in items:
                regions = list(captioned_regions(item.record))
                if regions and item.picture is not None:
                    name = _file_name(item.record["index"], item.picture.extension)
                    (train / name).parent.mkdir(exist_ok=True)
                    (train / name).write_bytes(item.picture.data)
                    file.write(compact_json(_row(item.record, regions, name)) + "\n")


def _file_name(index: int, extension: str) -> str:
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
        "objects": {
            "region": [region["region"] for region in regions],
            # One number type throughout: readers take the type from the first rows.
            "bbox": [[float(side) for side in region["bbox"]] for region in regions],
            "caption": [region["caption"] for region in regions],
        },
        "model": record["model"],
        "meta": compact_json(record["meta"]),
    }
