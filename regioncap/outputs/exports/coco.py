"""COCO: one JSON file with images and one annotation a captioned region.

COCO's own caption task has captions of whole images; here an annotation has both a box and a
caption, and the one category is `region`.
"""

from __future__ import annotations

import shutil
import tempfile
from collections.abc import Iterable, Mapping
from pathlib import Path
from typing import Any, TextIO

from regioncap.outputs.exports.base import (
    BOX_CONVENTION,
    About,
    Item,
    captioned_regions,
    compact_json,
)

_CATEGORIES = [{"id": 1, "name": "region", "supercategory": "region"}]


class Coco:
    """Records that have a caption; the others are counted in `info`."""

    name = "coco"
    makes_folder = False
    takes_pictures = False
    packages: tuple[str, ...] = ()

    def write(self, items: Iterable[Item], path: Path, about: About) -> None:
        """Writes one file; see `Format.write`.

        Images and annotations are two lists of one object and come mixed: annotations wait in a
        temporary file until all images are written.
        """
        left_out = 0
        with (
            path.open("w", encoding="utf-8") as file,
            tempfile.TemporaryFile("w+", encoding="utf-8", dir=path.parent) as waiting,
        ):
            images, annotations = _List(file), _List(waiting)
            file.write('{"images": [')
            for item in items:
                regions = list(captioned_regions(item.record))
                left_out += not regions
                if regions:
                    images.add(_image(item.record))
                for region in regions:
                    annotations.add(_annotation(item.record, region, annotations.length + 1))
            file.write('\n],\n"annotations": [')
            waiting.seek(0)
            shutil.copyfileobj(waiting, file)
            file.write(f'\n],\n"categories": {compact_json(_CATEGORIES)},\n"licenses": [],\n')
            file.write(f'"info": {compact_json(_info(about, left_out))}}}\n')


class _List:
    """Elements of a JSON list, written as they come."""

    def __init__(self, file: TextIO) -> None:
        self._file = file
        self.length = 0

    def add(self, element: Mapping[str, Any]) -> None:
        self._file.write((",\n" if self.length else "\n") + compact_json(element))
        self.length += 1


def _image(record: Mapping[str, Any]) -> dict[str, Any]:
    return {
        "id": _image_id(record),
        "file_name": record["image"],
        "width": record["width"],
        "height": record["height"],
        "record_id": record["id"],
    }


def _annotation(
    record: Mapping[str, Any], region: Mapping[str, Any], number: int
) -> dict[str, Any]:
    return {
        "id": number,
        "image_id": _image_id(record),
        "category_id": 1,
        "bbox": region["bbox"],
        "area": region["bbox"][2] * region["bbox"][3],
        "iscrowd": 0,
        "caption": region["caption"],
        "region": region["region"],
    }


def _image_id(record: Mapping[str, Any]) -> int:
    # From 1: some readers of COCO take 0 for "no image".
    return int(record["index"]) + 1


def _info(about: About, left_out: int) -> dict[str, Any]:
    return {
        "description": f"{about.title}: one caption per region. bbox: {BOX_CONVENTION}.",
        "date_created": about.created.isoformat(),
        "year": about.created.year,
        "regioncap_job": about.job,
        "records_without_caption": left_out,
    }
