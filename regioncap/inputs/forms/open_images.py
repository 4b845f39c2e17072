"""Open Images' CSV of boxes: a row a box, those of a picture one after another.

Names of the classes are taken from `class-descriptions*.csv` beside the file.
Format: https://storage.googleapis.com/openimages/web/download_v7.html
"""

from __future__ import annotations

import csv
from collections.abc import Iterator, Mapping
from itertools import groupby
from pathlib import Path
from typing import Any

from regioncap.inputs.fields import bad_dataset
from regioncap.inputs.forms.base import Boxes, Form, Input, Sample, record_of
from regioncap.inputs.forms.picture_files import Pictures
from regioncap.inputs.forms.tables import read_csv
from regioncap.records import InputRecord

_SIDES = ("XMin", "YMin", "XMax", "YMax")
_COLUMNS = {"ImageID", "LabelName", *_SIDES}
_FLAGS = ("IsOccluded", "IsTruncated", "IsDepiction", "IsInside")


def _knows(sample: Sample) -> bool:
    header = sample.head.split(b"\n", 1)[0].decode("utf-8", "replace").strip()
    return set(header.split(",")) >= _COLUMNS


def _read(source: Input) -> Iterator[InputRecord]:
    pictures, index = Pictures(source), 0
    for file in source.files:
        names, seen = _class_names(file.parent, source), set[str]()
        for image_id, rows in groupby(read_csv(file), lambda row: row["ImageID"]):
            if image_id in seen:
                what = f"rows of the picture {image_id} stand apart"
                raise bad_dataset(file, what, "sort the file by ImageID")
            seen.add(image_id)
            boxes = Boxes()
            for row in rows:
                _add(boxes, row, names)
            name = pictures.find(file, image_id)
            yield record_of(
                name or f"{image_id}.jpg", boxes, "xyxy-normalized", index=index,
                reading=source.reading, picture=pictures.path(name), id=image_id,
            )  # fmt: skip
            index += 1
    pictures.leave_out_others()


def _add(boxes: Boxes, row: Mapping[str, Any], names: Mapping[str, str]) -> None:
    label = row["LabelName"]
    boxes.add(
        [_number(row[side]) for side in _SIDES],
        categories=names.get(label, label),
        category_ids=label,
        iscrowd=1 if row.get("IsGroupOf") == "1" else 0,
        attributes={name: row[name] for name in _FLAGS if row.get(name) is not None},
    )


def _number(text: Any) -> Any:
    try:
        return float(text)
    except (TypeError, ValueError):
        return text


def _class_names(folder: Path, source: Input) -> dict[str, str]:
    for near in (folder,) if source.is_confined else (folder, folder.parent):
        for file in sorted(near.glob("*class-descriptions*.csv")):
            try:
                with file.open(encoding="utf-8-sig", newline="") as text:
                    return {row[0]: row[1] for row in csv.reader(text) if len(row) == 2}
            except (OSError, UnicodeDecodeError, csv.Error) as error:
                raise bad_dataset(file, f"cannot be read: {error}") from error
    return {}


FORM = Form("Open Images", _knows, _read, (".csv",))
