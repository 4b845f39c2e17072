"""COCO annotations: one record an image, its annotations' boxes in the order of the file.

The whole file is held in memory: annotations of one image may stand anywhere in it.
Format: https://cocodataset.org/#format-data (bbox is [x, y, width, height] in pixels)
"""

from __future__ import annotations

from collections import defaultdict
from collections.abc import Iterator
from pathlib import Path
from typing import Any

from regioncap.inputs.fields import bad_dataset, make_record, read_json
from regioncap.records import InputRecord

_HINT = "a .json file is read as COCO's; name a file with one record a line my.jsonl"


def read(files: list[Path]) -> Iterator[InputRecord]:
    """Records of a COCO file; `id` is the image's, `meta` names annotations and categories."""
    for path in files:
        images, boxes, categories = _load(path)
        for index, image in enumerate(images):
            known = boxes.get(image.get("id"), [])
            fields = {name: value for name, value in image.items() if name != "file_name"}
            fields["image"] = image.get("file_name")
            fields["bbox"] = [each["bbox"] for each in known] or None
            fields["annotation_ids"] = [each.get("id") for each in known]
            fields["categories"] = [categories.get(each.get("category_id")) for each in known]
            yield make_record(fields, index=index)


def _load(path: Path) -> tuple[list[Any], dict[Any, list[Any]], dict[Any, Any]]:
    try:
        content = read_json(path, path.read_bytes(), "it", _HINT)
    except OSError as error:
        raise bad_dataset(path, f"cannot be read: {error.strerror}") from error
    if not isinstance(content, dict) or not isinstance(content.get("images"), list):
        what = 'no COCO annotations: they are an object with a list "images"'
        raise bad_dataset(path, what, _HINT)
    images, annotations, categories = (
        _objects(path, content, name) for name in ("images", "annotations", "categories")
    )
    boxes = defaultdict(list)
    for each in annotations:
        if "bbox" in each:  # captions of whole images and some segmentations have none
            boxes[each.get("image_id")].append(each)
    return images, boxes, {each.get("id"): each.get("name") for each in categories}


def _objects(path: Path, content: dict[str, Any], name: str) -> list[dict[str, Any]]:
    """A list of the file whose objects are known by numbers or texts."""
    listed = content.get(name) or []
    for each in listed if isinstance(listed, list) else [None]:
        if not isinstance(each, dict) or any(
            isinstance(each.get(known_by), dict | list)
            for known_by in ("id", "image_id", "category_id")
        ):
            raise bad_dataset(path, f'no COCO annotations: its "{name}" are not as they should be')
    return listed
