"""A CSV or TSV file with a row a picture, or a row a box: a column names the picture.

Without a header it may be keras-retinanet's: path, xmin, ymin, xmax, ymax, label.
"""

from __future__ import annotations

import csv
import json
from collections.abc import Iterator
from pathlib import Path
from typing import Any

from regioncap.errors import UsageError
from regioncap.inputs.box_fields import has_box_fields
from regioncap.inputs.fields import IMAGE_ALIKE, bad_dataset, make_record
from regioncap.inputs.forms.base import Form, Input, Sample
from regioncap.inputs.forms.tables import delimiter_of, read_csv
from regioncap.inputs.pictures import is_picture
from regioncap.records import InputRecord

_NAMES = {"image", *IMAGE_ALIKE}
_RETINANET = ["image", "xmin", "ymin", "xmax", "ymax", "label"]
#: What VGG Image Annotator's table calls a region.
_VIA = "region_shape_attributes"


def _header(sample: Sample) -> list[str]:
    """The cells of the first line, as far as it is a table's."""
    text = sample.head.decode("utf-8", "replace").lstrip("\r\n")
    first = text.split("\n", 1)[0].rstrip("\r")
    try:
        return next(csv.reader([first], delimiter=delimiter_of(first)), [])
    except csv.Error:
        return []


def _columns(cells: list[str]) -> list[str] | None:
    """The columns of a table that has no header; None if the cells are one."""
    is_row = len(cells) == len(_RETINANET) and is_picture(Path(cells[0]))
    if is_row and all(not cell.strip() or _is_number(cell) for cell in cells[1:5]):
        return _RETINANET
    return None


def _is_number(text: str) -> bool:
    try:
        float(text)
    except ValueError:
        return False
    return True


def _knows(sample: Sample) -> bool:
    if sample.start in {b"{", b"[", b"<", b""} or b"\0" in sample.head:
        return False
    cells = _header(sample)
    if len(cells) < 2 and sample.path.suffix.lower() not in {".csv", ".tsv"}:
        return False
    return bool(_NAMES & set(cells)) or _columns(cells) is not None


def has_boxes(sample: Sample) -> bool:
    """Whether a table has columns of boxes; those of captions have none."""
    cells = _header(sample)
    if _columns(cells) is not None or _VIA in cells:
        return True
    for row in read_csv(sample.path):
        return has_box_fields({name: value or "1" for name, value in row.items()}) or (
            has_box_fields(row)
        )
    return False


def no_image_column(sample: Sample) -> UsageError:
    """The error of a table of which no column names the picture."""
    cells = _header(sample)
    return bad_dataset(
        sample.path,
        f"no column image among {', '.join(cells[:8])}",
        "name the column with the pictures' paths image",
    )


def _read(source: Input) -> Iterator[InputRecord]:
    index = 0
    for file in source.files:
        columns = _columns(_header(Sample(file)))
        for row in read_csv(file, columns):
            record = _via_record(row, index, source) if _VIA in row else None
            if record is None:
                record = make_record(row, index=index, reading=source.reading)
                record.annotated = has_box_fields(row)
            beside = file.parent
            if record.image and beside != source.root and "://" not in record.image:
                record.image = str(beside.relative_to(source.root) / record.image)
            yield record
            index += 1


def _via_record(row: dict[str, Any], index: int, source: Input) -> InputRecord:
    """A record of a row of VGG Image Annotator's, whose boxes are JSON in a cell."""
    from regioncap.inputs.forms import via

    cells = {name: _parsed(row.get(name)) for name in (_VIA, "region_attributes")}
    box = via.box_of(cells[_VIA]) if cells[_VIA] else None
    if cells[_VIA] and box is None:
        source.reading.leave_out("regions that are no shape with an area", f"row {index + 1}")
    rest = {name: value for name, value in row.items() if name not in cells}
    label = via.label_of(cells["region_attributes"])
    fields = {**rest, "bbox": [box] if box else [], "categories": [label] if box else []}
    record = make_record(fields, index=index, reading=source.reading)
    record.box_format = "xyxy"
    return record


def _parsed(text: Any) -> Any:
    try:
        return json.loads(text) if isinstance(text, str) else None
    except (ValueError, RecursionError):
        return None


FORM = Form("a table", _knows, _read, (".csv", ".tsv"))
