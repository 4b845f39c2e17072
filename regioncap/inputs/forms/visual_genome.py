"""Visual Genome's objects and region descriptions: a record a picture, `2.jpg` for image 2.

Format: https://homes.cs.washington.edu/~ranjay/visualgenome/api.html
"""

from __future__ import annotations

from collections.abc import Iterator, Mapping
from typing import Any

from regioncap.inputs.fields import bad_dataset
from regioncap.inputs.forms.base import Boxes, Form, Input, Sample, record_of
from regioncap.inputs.forms.document import objects_of, read_document, value_of
from regioncap.inputs.forms.picture_files import Pictures
from regioncap.records import InputRecord


def _knows(sample: Sample) -> bool:
    document = sample.document
    if not isinstance(document, list) or not document:
        return False
    first = value_of(sample.path, "the first item", document[0])
    if not isinstance(first, dict) or not {"image_id", "id"} & first.keys() or "image" in first:
        return False
    if isinstance(first.get("regions"), list):
        return all(isinstance(each, dict) and "region_id" in each for each in first["regions"])
    if isinstance(first.get("objects"), list):
        return all(isinstance(each, dict) and "object_id" in each for each in first["objects"])
    return False


def _read(source: Input) -> Iterator[InputRecord]:
    pictures, index = Pictures(source), 0
    for file in source.files:
        for each in objects_of(file, "", read_document(file)):
            image_id = each.get("image_id", each.get("id"))
            boxes = Boxes()
            for number, said in enumerate(each.get("objects") or each.get("regions") or []):
                if not isinstance(said, dict):
                    raise bad_dataset(file, f"[{index}] has an object {number} that is none")
                _add(boxes, said)
            name = pictures.find(file, f"{image_id}.jpg")
            yield record_of(
                name or f"{image_id}.jpg", boxes, "xywh", index=index, reading=source.reading,
                picture=pictures.path(name), id=image_id, image_url=each.get("image_url"),
            )  # fmt: skip
            index += 1
    pictures.leave_out_others()


def _add(boxes: Boxes, said: Mapping[str, Any]) -> None:
    width, height = said.get("w", said.get("width")), said.get("h", said.get("height"))
    box = [said.get("x"), said.get("y"), width, height]
    if "region_id" in said:
        boxes.add(box, annotation_ids=said["region_id"], phrases=said.get("phrase"))
    else:
        names = said.get("names")
        label = names[0] if isinstance(names, list) and names else said.get("name")
        boxes.add(box, annotation_ids=said.get("object_id"), categories=label)


FORM = Form("Visual Genome", _knows, _read, (".json",))
