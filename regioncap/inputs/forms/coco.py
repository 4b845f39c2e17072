"""COCO annotations: one record an image, its annotations' boxes in the order of the file.

Boxes are those of instances and keypoints, of `segments_info` in panoptic files, or else the ones
around the segmentation. Annotations of one image may stand anywhere in the file: in memory are the
file itself, and of each annotation its box and ids.
Format: https://cocodataset.org/#format-data (bbox is [x, y, width, height] in pixels)
"""

from __future__ import annotations

from collections.abc import Iterator
from dataclasses import dataclass, field
from pathlib import Path
from typing import Any

import msgspec

from regioncap.inputs.fields import bad_dataset, make_record
from regioncap.inputs.forms.base import Form, Input, Sample
from regioncap.inputs.forms.document import (
    Document,
    holds_text,
    items_of,
    objects_of,
    read_document,
    value_of,
)
from regioncap.inputs.forms.outlines import box_of_segmentation
from regioncap.inputs.forms.picture_files import Pictures
from regioncap.inputs.reading import Reading
from regioncap.records import InputRecord

_NOT_ANNOTATED = "annotations of an image that is not in the file"


class _Annotation(msgspec.Struct, gc=False):
    """What is read of an annotation; its outline only where it has no box."""

    id: Any = None
    image_id: Any = None
    category_id: Any = None
    bbox: Any = None
    iscrowd: Any = None
    segments_info: Any = None
    segmentation: Any = None


class _Outlined(_Annotation, gc=False):
    segmentation: msgspec.Raw = msgspec.Raw(b"null")


@dataclass(slots=True)
class _Boxes:
    """The boxes of one image, in lists: millions of objects would take ten times the memory."""

    boxes: list[Any] = field(default_factory=list)
    ids: list[Any] = field(default_factory=list)
    category_ids: list[Any] = field(default_factory=list)
    crowds: list[int] = field(default_factory=list)

    def add(self, box: Any, each: _Annotation) -> None:
        self.boxes.append(box)
        self.ids.append(each.id)
        self.category_ids.append(each.category_id)
        self.crowds.append(1 if each.iscrowd else 0)


def _knows(sample: Sample) -> bool:
    document = sample.document
    return isinstance(document, dict) and "images" in document


def has_boxes(sample: Sample) -> bool:
    """Whether annotations of a COCO file may have boxes: those of captions have none."""
    document = sample.document
    annotations = document.get("annotations") if isinstance(document, dict) else None
    return holds_text(annotations, b'"(bbox|segmentation)"')


def names_in(file: Path) -> set[str]:
    """The names of the pictures in a COCO file."""
    content = read_document(file)
    images = content.get("images") if isinstance(content, dict) else None
    return {str(each.get("file_name")) for each in objects_of(file, "images", images)}


def _names(source: Input) -> Iterator[tuple[Path, str]]:
    for file in source.files:
        yield from ((file, name) for name in names_in(file))


def _read(source: Input) -> Iterator[InputRecord]:
    pictures, index = Pictures(source, lambda: _names(source)), 0
    for file in source.files:
        content = read_document(file)
        if not isinstance(content, dict) or "images" not in content:
            raise bad_dataset(file, "no COCO annotations")
        for record in _records(file, content, index, source.reading):
            name = pictures.find(file, record.image) if source.is_folder else None
            if name:
                if name != record.image:  # exports join by the name that the file has
                    record.meta["file_name"] = record.image
                record.image, record.picture = name, pictures.path(name)
            yield record
            index += 1
    pictures.leave_out_others()


def _records(
    path: Path, content: dict[str, Any], index: int, reading: Reading
) -> Iterator[InputRecord]:
    """Records of a COCO file.

    `id` is the image's; `meta` has its other fields, and in lists, one value a box,
    `annotation_ids`, `category_ids`, `categories` (their names) and `iscrowd`. In a file with
    `annotations`, an image without any has no regions.

    Raises:
        UsageError: A member is not what COCO says (`bad-dataset`).
    """
    categories = {
        _id(path, f"categories[{number}].id", each.get("id")): each.get("name")
        for number, each in enumerate(objects_of(path, "categories", content.get("categories")))
    }
    known: dict[str, _Boxes] = {}
    for number, image in enumerate(objects_of(path, "images", content["images"])):
        name = _id(path, f"images[{number}].id", image.get("id"))
        if name in known:
            raise bad_dataset(path, f"images[{number}].id {name} is there twice")
        known[name] = _Boxes()
    annotations = content.get("annotations")
    annotated = annotations is not None and not holds_text(annotations, rb"\Anull\Z")
    _add_annotations(path, content, known, reading)
    for image in objects_of(path, "images", content["images"]):
        boxes = known.pop(str(image.get("id")))
        fields = {name: value for name, value in image.items() if name != "file_name"}
        fields["image"] = image.get("file_name")
        fields["bbox"] = boxes.boxes if annotated else None
        fields["annotation_ids"] = boxes.ids
        fields["category_ids"] = boxes.category_ids
        fields["categories"] = [categories.get(str(each)) for each in boxes.category_ids]
        fields["iscrowd"] = boxes.crowds
        yield make_record(fields, index=index, reading=reading)
        index += 1


def _add_annotations(
    path: Path, content: Document, known: dict[str, _Boxes], reading: Reading
) -> None:
    members = content if isinstance(content, dict) else {}
    for number, each in enumerate(_annotations(path, members.get("annotations"))):
        name = _id(path, f"annotations[{number}].image_id", each.image_id)
        what = f"annotation {number if each.id is None else each.id} of image {name}"
        if name not in known:
            reading.leave_out(_NOT_ANNOTATED, what)
            continue
        if each.segments_info is not None and not each.bbox:
            where = f"annotations[{number}].segments_info"
            _add_segments(path, where, each.segments_info, known[name], reading)
            continue
        box = each.bbox or _around(path, f"annotations[{number}].segmentation", each)
        if box:
            known[name].add(box, each)
        else:
            reading.leave_out("annotations without bbox", what)


def _annotations(path: Path, annotations: Any) -> Iterator[_Annotation]:
    for number, item in enumerate(items_of(path, "annotations", annotations)):
        where = f"annotations[{number}]"
        if isinstance(item, msgspec.Raw):
            try:
                yield msgspec.json.decode(item, type=_Outlined)
                continue
            except RecursionError as error:
                raise bad_dataset(path, f"{where} is nested too deeply") from error
            except (msgspec.MsgspecError, UnicodeDecodeError):
                pass  # no object, or one that Python alone reads
        value = value_of(path, where, item)
        if not isinstance(value, dict):
            raise bad_dataset(path, f"{where} is no object")
        yield _annotation(value)


def _annotation(value: dict[str, Any]) -> _Annotation:
    return _Annotation(**{name: value.get(name) for name in _Annotation.__struct_fields__})


def _around(path: Path, where: str, each: _Annotation) -> list[float] | None:
    outline = value_of(path, where, each.segmentation)
    return box_of_segmentation(outline) if outline else None


def _add_segments(path: Path, where: str, segments: Any, boxes: _Boxes, reading: Reading) -> None:
    for number, value in enumerate(objects_of(path, where, segments)):
        each = _annotation(value)
        if each.bbox:
            boxes.add(each.bbox, each)
        else:
            reading.leave_out("segments without bbox", f"{where}[{number}]")


def _id(path: Path, where: str, value: Any) -> str:
    """An id as text: tools write numbers as text, or the other way round, in half of a file."""
    if isinstance(value, bool) or not isinstance(value, int | str):
        raise bad_dataset(path, f"{where} is no number and no text")
    return str(value)


FORM = Form("COCO annotations", _knows, _read, (".json",))
