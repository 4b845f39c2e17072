"""COCO: one JSON file with images and one annotation a captioned region.

COCO's own caption task has captions of whole images; here an annotation has both a box and a
caption. What came in as COCO goes out with its own ids of images, annotations and categories and
its crowd flags; of anything else the one category is `region`. Records of one picture share an
image.
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
    Pictures,
    captioned_regions,
    compact_json,
    has_caption,
    own_of,
)

_REGION = "region"


class Coco:
    """Records that have a caption, or no regions; the others are counted in `info`."""

    name = "coco"
    makes_folder = False
    pictures: Pictures = "none"
    packages: tuple[str, ...] = ()

    def write(self, items: Iterable[Item], path: Path, about: About) -> None:
        """Writes one file; see `Format.write`.

        Images and annotations are two lists of one object and come mixed: annotations wait in a
        temporary file until all images are written.
        """
        left_out, ids = 0, _Ids()
        with (
            path.open("w", encoding="utf-8") as file,
            tempfile.TemporaryFile("w+", encoding="utf-8", dir=path.parent) as waiting,
        ):
            images, annotations = _List(file), _List(waiting)
            file.write('{"images": [')
            for item in items:
                regions = list(captioned_regions(item.record))
                is_empty = not item.record["regions"] and not item.record["error"]
                if not (is_empty or has_caption(item.record)):
                    left_out += 1
                    continue
                image_id, is_new = ids.image(item)
                if is_new:
                    images.add(_image(item.record, image_id))
                for region in regions:
                    annotations.add(_annotation(item.record, region, image_id, ids))
            file.write('\n],\n"annotations": [')
            waiting.seek(0)
            shutil.copyfileobj(waiting, file)
            categories = compact_json(ids.categories())
            file.write(f'\n],\n"categories": {categories},\n"licenses": [],\n')
            file.write(f'"info": {compact_json(_info(about, left_out))}}}\n')


class _Ids:
    """Ids that are the source's own where it has any, and are given once."""

    def __init__(self) -> None:
        self._images: dict[tuple[Any, ...], int | str] = {}
        #: The source's own ids, and the last of those made here, which go up.
        self._taken: dict[str, set[int | str]] = {"image": set(), "annotation": set()}
        self._last = {"image": 0, "annotation": 0}
        self._categories: dict[int | str, str] = {}
        #: By what the source says: two files may give one id to different names.
        self._category_ids: dict[tuple[Any, str], int | str] = {}

    def image(self, item: Item) -> tuple[int | str, bool]:
        """The id of a record's picture, and whether it is new.

        Pictures of one name may be several: of archives, or of tables that hold the pictures.
        """
        record = item.record
        own = record["id"] if "annotation_ids" in record["meta"] else None
        name = (record["image"], item.source, own)
        is_new = name not in self._images
        if is_new:
            # From 1: some readers of COCO take 0 for "no image".
            self._images[name] = self._free("image", own, int(record["index"]) + 1)
        return self._images[name], is_new

    def annotation(self, own: Any) -> int | str:
        """An id for a region, its own if that is free."""
        return self._free("annotation", own, self._last["annotation"] + 1)

    def category(self, own: Any, name: Any) -> int | str:
        """The id of a category: the source's own, if no other name has it, or that of its name."""
        if not _is_id(own):
            own, name = None, name if isinstance(name, str) and name else _REGION
        elif name is None:
            name = self._categories.get(own, own)
        said = (own, str(name))
        if said not in self._category_ids:
            self._category_ids[said] = self._category(*said)
        return self._category_ids[said]

    def _category(self, own: Any, name: str) -> int | str:
        if own is None or self._categories.get(own, name) != name:
            own = next((id_ for id_, known in self._categories.items() if known == name), 1)
            while self._categories.get(own, name) != name:
                own += 1
        self._categories[own] = name
        known: int | str = own
        return known

    def categories(self) -> list[dict[str, Any]]:
        """All categories, as COCO lists them."""
        known = self._categories or {1: _REGION}
        return [{"id": id_, "name": name, "supercategory": name} for id_, name in known.items()]

    def _free(self, kind: str, own: Any, number: int) -> int | str:
        taken, last = self._taken[kind], self._last[kind]
        if _is_id(own) and own not in taken and not (isinstance(own, int) and 0 < own <= last):
            taken.add(own)
            kept: int | str = own
            return kept
        number = max(number, last + 1)
        while number in taken:
            number += 1
        self._last[kind] = number
        return number


def _is_id(value: Any) -> bool:
    return isinstance(value, int | str) and not isinstance(value, bool)


class _List:
    """Elements of a JSON list, written as they come."""

    def __init__(self, file: TextIO) -> None:
        self._file = file
        self.length = 0

    def add(self, element: Mapping[str, Any]) -> None:
        self._file.write((",\n" if self.length else "\n") + compact_json(element))
        self.length += 1


def _image(record: Mapping[str, Any], image_id: int | str) -> dict[str, Any]:
    return {
        "id": image_id,
        "file_name": _file_name(record),
        "width": record["width"],
        "height": record["height"],
        "record_id": record["id"],
        # Of the first of the records that share the picture.
        **({"caption": caption} if (caption := record.get("image_caption")) else {}),
    }


def _file_name(record: Mapping[str, Any]) -> Any:
    """The picture's name as the COCO file had it that the record is from, else where it lay."""
    image, own = record["image"], record["meta"].get("file_name")
    is_end = isinstance(own, str) and isinstance(image, str) and image.endswith(f"/{own}")
    return own if is_end else image


def _annotation(
    record: Mapping[str, Any], region: Mapping[str, Any], image_id: int | str, ids: _Ids
) -> dict[str, Any]:
    own = own_of(record, region)
    return {
        "id": ids.annotation(own.annotation_id),
        "image_id": image_id,
        "category_id": ids.category(
            own.category_id, own.label if own.category is not None else None
        ),
        "bbox": region["bbox"],
        "area": region["bbox"][2] * region["bbox"][3],
        "iscrowd": 1 if own.iscrowd else 0,
        "caption": region["caption"],
        "record": record["index"],
        "region": region["region"],
        **_verdict(region),
        **({"attributes": given} if (given := region.get("attributes")) is not None else {}),
    }


def _verdict(region: Mapping[str, Any]) -> dict[str, Any]:
    if region.get("verified") is None:
        return {}
    return {"verified": region["verified"], "verified_as": region["verified_as"]}


def _info(about: About, left_out: int) -> dict[str, Any]:
    return {
        "description": f"{about.title}: one caption per region. bbox: {BOX_CONVENTION}.",
        "date_created": about.created.isoformat(),
        "year": about.created.year,
        "regioncap_job": about.job,
        "records_without_caption": left_out,
    }
