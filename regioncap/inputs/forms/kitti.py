"""KITTI's texts, a file a picture: `label_2/000001.txt` for `image_2/000001.png`.

A line is `type truncated occluded alpha left top right bottom` and the object in space. `DontCare`
regions are left out.
Format: https://www.cvlibs.net/datasets/kitti/eval_object.php (the development kit's readme.txt)
"""

from __future__ import annotations

import re
from collections.abc import Iterator
from pathlib import Path

from regioncap.inputs.fields import bad_dataset
from regioncap.inputs.forms.base import Boxes, Form, Input, Sample, record_of
from regioncap.inputs.forms.per_picture import read_each
from regioncap.inputs.forms.picture_files import Pictures
from regioncap.inputs.forms.text_file import numbered_lines
from regioncap.inputs.reading import Reading
from regioncap.records import InputRecord

_NUMBER = rb"-?\d+(\.\d+)?([eE][-+]?\d+)?"
_ROW = re.compile(rb"\s*[A-Za-z]\S*((\s+" + _NUMBER + rb"){14,15})\s*")
_WORDS = {15, 16}
_DONT_CARE = "DontCare"


def _knows(sample: Sample) -> bool:
    first = next((line for line in sample.head.splitlines() if line.strip()), b"")
    return _ROW.fullmatch(first) is not None


def _read(source: Input) -> Iterator[InputRecord]:
    yield from read_each(source, _record, "xyxy")


def _record(file: Path, pictures: Pictures, index: int, reading: Reading) -> InputRecord | None:
    boxes = Boxes()
    for number, line in numbered_lines(file):
        words = line.split()
        if len(words) not in _WORDS:
            raise bad_dataset(file, f"line {number} is no row of KITTI's: {line[:80]!r}")
        try:
            _, occluded, _, *box = (float(word) for word in words[1:8])
        except ValueError as error:
            raise bad_dataset(file, f"line {number}: {error}") from error
        if words[0] == _DONT_CARE:
            reading.leave_out("DontCare regions", f"line {number} of {file.name}")
        else:
            boxes.add(box, categories=words[0], truncated=float(words[1]), occluded=int(occluded))
    name = pictures.find(file, None, by_stem=True)
    return record_of(
        name or file.stem, boxes, "xyxy", index=index, reading=reading,
        picture=pictures.path(name), annotation=file.name,
    )  # fmt: skip


FORM = Form("KITTI", _knows, _read, (".txt",), is_per_picture=True)
