"""COCO annotations: one record an image, its annotations' boxes in the order of the file.

The whole file is held in memory: annotations of one image may stand anywhere in it.
Format: https://cocodataset.org/#format-data (bbox is [x, y, width, height] in pixels); panoptic
files have their boxes in `segments_info`.
"""

from __future__ import annotations

from collections.abc import Iterator
from pathlib import Path
from typing import Any

from regioncap.inputs.fields import bad_dataset, make_record
from regioncap.inputs.reading import Reading
from regioncap.records import InputRecord


def is_coco(content: Any) -> bool:
    """Whether a JSON file's content is COCO's."""
    return isinstance(content, dict) and "images" in content


def read(path: Path, content: dict[str, Any], reading: Reading) -> Iterator[InputRecord]:
    """Records of a COCO file.

    `id` is the image's; `meta` has its other fields, and in lists, one value a box,
    `annotation_ids`, `category_ids`, `categories` (their names) and `iscrowd`. In a file with
    `annotations`, an image without any has no regions.

    Raises:
        UsageError: A member is not what COCO says (`bad-dataset`).
    """
    images = _objects(path, content, "images")
    categories = {
        _id(path, f"categories[{number}].id", each.get("id")): each.get("name")
        for number, each in enumerate(_objects(path, content, "categories"))
    }
    known: dict[str, list[dict[str, Any]]] = {}
    for number, image in enumerate(images):
        name = _id(path, f"images[{number}].id", image.get("id"))
        if name in known:
            raise bad_dataset(path, f"images[{number}].id {name} is there twice")
        known[name] = []
    annotated = content.get("annotations") is not None
    _add_annotations(path, content, known, reading)
    for index, image in enumerate(images):
        boxes = known[_id(path, "", image.get("id"))]
        fields = {name: value for name, value in image.items() if name != "file_name"}
        fields["image"] = image.get("file_name")
        fields["bbox"] = [each["bbox"] for each in boxes] if annotated else None
        fields["annotation_ids"] = [each.get("id") for each in boxes]
        fields["category_ids"] = [each.get("category_id") for each in boxes]
        fields["categories"] = [categories.get(str(each.get("category_id"))) for each in boxes]
        fields["iscrowd"] = [1 if each.get("iscrowd") else 0 for each in boxes]
        yield make_record(fields, index=index, reading=reading)


def _add_annotations(
    path: Path, content: dict[str, Any], known: dict[str, list[dict[str, Any]]], reading: Reading
) -> None:
    for number, each in enumerate(_objects(path, content, "annotations")):
        name = _id(path, f"annotations[{number}].image_id", each.get("image_id"))
        what = f"annotation {each.get('id', number)} of image {name}"
        segments = each.get("segments_info")
        if name not in known:
            reading.leave_out("annotations of an image that is not in the file", what)
        elif each.get("bbox"):
            known[name].append(each)
        elif segments is not None:
            _add_segments(path, f"annotations[{number}].segments_info", segments, known[name])
        else:
            reading.leave_out("annotations without bbox", what)


def _add_segments(path: Path, where: str, segments: Any, boxes: list[dict[str, Any]]) -> None:
    for each in _objects(path, {where: segments}, where):
        if each.get("bbox"):
            boxes.append(each)


def _objects(path: Path, content: dict[str, Any], name: str) -> list[dict[str, Any]]:
    """A list of objects, checked; empty if there is none."""
    value = content.get(name)
    if value is None:
        return []
    if not isinstance(value, list):
        raise bad_dataset(path, f"{name} is no list")
    for number, each in enumerate(value):
        if not isinstance(each, dict):
            raise bad_dataset(path, f"{name}[{number}] is no object")
    return value


def _id(path: Path, where: str, value: Any) -> str:
    """An id as text: tools write numbers as text, or the other way round, in half of a file."""
    if isinstance(value, bool) or not isinstance(value, int | str):
        raise bad_dataset(path, f"{where} is no number and no text")
    return str(value)
