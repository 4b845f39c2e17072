"""Label Studio's tasks, as its export JSON and JSON-MIN: one record a task.

Boxes are rectangles, and those around polygons and ellipses, in percent of the picture's sides.
Format: https://labelstud.io/guide/export
"""

from __future__ import annotations

import math
import re
from collections import Counter
from collections.abc import Iterator, Mapping, Sequence
from pathlib import Path
from typing import Any
from urllib.parse import parse_qs, unquote, urlsplit

from regioncap.inputs.fields import IMAGE_ALIKE
from regioncap.inputs.forms.base import Boxes, Form, Input, Sample, hull, record_of
from regioncap.inputs.forms.document import objects_of, read_document, value_of
from regioncap.inputs.forms.picture_files import Pictures
from regioncap.inputs.reading import Reading
from regioncap.records import InputRecord, Problem

_SIDES = ("x", "y", "width", "height")
_NAMES = ("image", *IMAGE_ALIKE)
#: What Label Studio puts before the name of a file that is uploaded.
_UPLOADED = re.compile(r"^[0-9a-f]{8}-")
#: What says where a shape lies.
_PLACE = (*_SIDES, "rotation", "points", "radiusX", "radiusY", "rle")
#: Results that are words about a picture or a region, and no regions.
_WORDS = {"textarea", "choices", "rating", "number", "taxonomy", "pairwise", "datetime"}


def _knows(sample: Sample) -> bool:
    document = sample.document
    if not isinstance(document, list) or not document:
        return False
    first = value_of(sample.path, "the first item", document[0])
    return isinstance(first, dict) and (isinstance(first.get("data"), dict) or _is_min(first))


def _is_min(task: Mapping[str, Any]) -> bool:
    return any(_are_values(value) for value in task.values()) or (
        {"annotator", "annotation_id", "lead_time"} <= task.keys()
    )


def _are_values(value: Any) -> bool:
    return (
        isinstance(value, list)
        and bool(value)
        and all(isinstance(each, dict) and "original_width" in each for each in value)
    )


def _read(source: Input) -> Iterator[InputRecord]:
    pictures, index = Pictures(source), 0
    for file in source.files:
        for task in objects_of(file, "", read_document(file)):
            yield _record(file, task, pictures, index, source.reading)
            index += 1
    pictures.leave_out_others()


def _record(
    file: Path, task: dict[str, Any], pictures: Pictures, index: int, reading: Reading
) -> InputRecord:
    where = f"task {task.get('id', index + 1)}"
    data = task.get("data")
    fields = dict(data) if isinstance(data, dict) else dict(task)
    if isinstance(data, dict):
        results, is_annotated = _results(task)
        results = _by_region(results)
    else:
        lists = [fields.pop(name) for name, value in task.items() if _are_values(value)]
        results, is_annotated = _by_place(lists), True
    boxes = Boxes()
    for result in results:
        _add(boxes, result, reading, where)
    named = next((fields.pop(each) for each in _NAMES if isinstance(fields.get(each), str)), None)
    image, picture = _place(file, named, pictures)
    fields.pop("id", None)
    record = record_of(
        image, boxes if is_annotated else None, "xywh-percent", index=index, reading=reading,
        picture=picture, **{**fields, "id": task.get("id", fields.get("id"))},
    )  # fmt: skip
    shown = sorted({str(each["to_name"]) for each in results if each.get("to_name")})
    if len(shown) > 1:
        # Which of the task's pictures each of them is stands in the project's settings alone.
        what = f"{where} has boxes of several pictures ({', '.join(shown)})"
        hint = "give each picture a task of its own"
        record.error = Problem(code="image-ambiguous", message=f"{what}: {hint}", stage="submit")
    return record


def _results(task: Mapping[str, Any]) -> tuple[list[Any], bool]:
    """The results of the last annotation that was not skipped, or of a prediction."""
    for name in ("annotations", "completions", "predictions"):
        known = task.get(name)
        said = [each for each in known or [] if isinstance(each, dict)] if known else []
        kept = [each for each in said if not each.get("was_cancelled")]
        if kept:
            results = kept[-1].get("result")
            return (results if isinstance(results, list) else []), isinstance(results, list)
    return [], False


def _by_region(results: Sequence[Any]) -> list[Any]:
    """One result for each region: a shape and its labels may be two of one id."""
    regions: dict[Any, Any] = {}
    for number, result in enumerate(results):
        if not isinstance(result, Mapping) or result.get("type") in _WORDS:
            continue  # words about a box that stands by itself
        name = result.get("id")
        known = regions.setdefault(str(name) if name else number, result)
        if known is not result:
            values = [each.get("value") for each in (known, result)]
            whole = {k: v for each in values if isinstance(each, Mapping) for k, v in each.items()}
            regions[str(name)] = {**known, "value": whole}
    return list(regions.values())


def _by_place(lists: Sequence[Sequence[Mapping[str, Any]]]) -> list[Any]:
    """The same of JSON-MIN, which has a list for each control, and no ids."""
    regions: dict[tuple[str, int], dict[str, Any]] = {}
    for values in lists:
        times: Counter[str] = Counter()
        for value in values:
            place = repr([value.get(name) for name in _PLACE])
            regions.setdefault((place, times[place]), {}).update(value)
            times[place] += 1
    return [{"value": value} for value in regions.values()]


def _place(file: Path, named: str | None, pictures: Pictures) -> tuple[str | None, Path | None]:
    """The picture as records name it, and its file, of the address that Label Studio gives it."""
    if named is None:
        return None, None
    try:
        address = urlsplit(named)
    except ValueError:
        return named, None
    if address.scheme == "s3" or (address.scheme and not address.path):
        return named, None
    path = unquote(address.path)
    if path.endswith("/data/local-files/") or path.endswith("/data/local-files"):
        path = parse_qs(address.query).get("d", [""])[0] or path
    found = pictures.find(file, path) or pictures.find(file, _UPLOADED.sub("", Path(path).name))
    is_local = "/data/" in path or not address.scheme
    if found:
        return found, pictures.path(found)
    if not is_local:
        return named, None
    return (Path(path).name if path.startswith("/data/upload/") else path), None


def _add(boxes: Boxes, result: Any, reading: Reading, where: str) -> None:
    value = result.get("value") if isinstance(result, Mapping) else None
    if not isinstance(value, Mapping):
        return
    size = [result.get(f"original_{side}", value.get(f"original_{side}")) for side in _SIDES[2:]]
    try:
        box = _box(value, size)
    except (TypeError, KeyError, ValueError):
        box = None
    if box is None:
        reading.leave_out("results that are no shapes with an area", where)
        return
    labels = next((each for name, each in value.items() if name.endswith("labels") and each), None)
    label = labels[0] if isinstance(labels, list) and len(labels) == 1 else labels
    boxes.add(box, categories=label, annotation_ids=result.get("id"))


def _box(value: Mapping[str, Any], size: list[Any]) -> list[Any] | None:
    if all(side in value for side in _SIDES):
        box = [value[side] for side in _SIDES]
        degrees = value.get("rotation") or 0
        return _turned(box, degrees, size) if degrees else box
    if "points" in value:
        points = value["points"]
        found = hull([x for x, _ in points], [y for _, y in points])
    elif "radiusX" in value:
        x, y, rx, ry = (float(value[name]) for name in ("x", "y", "radiusX", "radiusY"))
        found = hull([x - rx, x + rx], [y - ry, y + ry])
    else:
        return None
    if found is None:
        return None
    left, top, right, bottom = found
    return [left, top, right - left, bottom - top]


def _turned(box: list[float], degrees: float, size: list[Any]) -> list[float] | None:
    """The box around one that is turned about its left upper corner, by degrees as in pixels."""
    if not all(isinstance(side, int | float) and side > 0 for side in size):
        return None
    x, y, width, height = box
    full_w, full_h = size
    turn = math.radians(degrees)
    wide, high = width * full_w, height * full_h
    along = (wide * math.cos(turn), wide * math.sin(turn))
    down = (-high * math.sin(turn), high * math.cos(turn))
    xs = [0.0, along[0], down[0], along[0] + down[0]]
    ys = [0.0, along[1], down[1], along[1] + down[1]]
    left, top = x + min(xs) / full_w, y + min(ys) / full_h
    return [left, top, (max(xs) - min(xs)) / full_w, (max(ys) - min(ys)) / full_h]


FORM = Form("Label Studio's tasks", _knows, _read, (".json",))
