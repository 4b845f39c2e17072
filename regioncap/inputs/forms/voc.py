"""Pascal VOC's XML, a file a picture; also of ImageNet, LabelImg, Roboflow and LabelMe's web tool.

A box is `bndbox`, corners in pixels, read as they stand; without one, the box around its `polygon`.
Pictures are those in the folders of the annotated ones: masks lie in folders of their own.
Format: http://host.robots.ox.ac.uk/pascal/VOC/voc2012/htmldoc/devkit_doc.html
"""

from __future__ import annotations

from collections.abc import Iterator
from pathlib import Path
from typing import Any
from xml.etree.ElementTree import Element

from regioncap.inputs.forms.base import Boxes, Form, Input, Sample, hull, record_of
from regioncap.inputs.forms.per_picture import read_each
from regioncap.inputs.forms.picture_files import Pictures
from regioncap.inputs.forms.xml_file import elements, root_of
from regioncap.inputs.reading import Reading
from regioncap.records import InputRecord

_SIDES = ("xmin", "ymin", "xmax", "ymax")
#: What VOC says of an object beside its name, for `meta`.
_FLAGS = ("difficult", "truncated", "occluded")


def _knows(sample: Sample) -> bool:
    return sample.start in {b"<", b"\xff", b"\xfe"} and root_of(sample.head) == "annotation"


def _read(source: Input) -> Iterator[InputRecord]:
    yield from read_each(source, _record, "xyxy")


def _record(file: Path, pictures: Pictures, index: int, reading: Reading) -> InputRecord | None:
    root = next(elements(file, "annotation"), None)
    if root is None:
        return None
    named = (root.findtext("filename") or "").strip() or None
    boxes = Boxes()
    for number, each in enumerate(root.findall("object"), start=1):
        _add(boxes, each, f"object {number} of {file.name}", reading)
    name = pictures.find(file, named, by_stem=True)
    return record_of(
        name or named or file.stem,
        boxes,
        "xyxy",
        index=index,
        reading=reading,
        picture=pictures.path(name),
        width=_whole(root.findtext("size/width")),
        height=_whole(root.findtext("size/height")),
        annotation=str(file.name),
    )


def _add(boxes: Boxes, each: Element, where: str, reading: Reading) -> None:
    if (each.findtext("deleted") or "").strip() == "1":
        reading.leave_out("objects that are deleted", where)
        return
    box = _box(each)
    if box is None:
        reading.leave_out("objects without bndbox or polygon", where)
        return
    said = {name: _whole(each.findtext(name)) for name in _FLAGS}
    boxes.add(box, categories=(each.findtext("name") or "").strip() or None, **said)


def _box(each: Element) -> list[Any] | None:
    bndbox = each.find("bndbox")
    if bndbox is None:
        bndbox = each.find("segm/box")  # a mask's, of LabelMe's web tool
    if bndbox is not None:
        return [_number(bndbox.findtext(side)) for side in _SIDES]
    polygon = each.find("polygon")
    if polygon is None:
        return None
    xs = [_number(part.text) for part in polygon.iter() if part.tag.rstrip("0123456789") == "x"]
    ys = [_number(part.text) for part in polygon.iter() if part.tag.rstrip("0123456789") == "y"]
    is_whole = all(isinstance(side, float | int) for side in [*xs, *ys])
    return hull(xs, ys) if is_whole else [None]


def _number(text: str | None) -> Any:
    """The number that a text is; any other text as it is, which is no side of a box."""
    try:
        value = float(text or "")
    except ValueError:
        return text
    return int(value) if value == value and abs(value) < 1e15 and value == int(value) else value  # noqa: PLR0124


def _whole(text: str | None) -> int | None:
    value = _number(text)
    return value if isinstance(value, int) else None


FORM = Form("Pascal VOC", _knows, _read, (".xml",), is_per_picture=True)
