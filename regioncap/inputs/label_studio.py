"""Label Studio's tasks in its JSON format: one record a task, with the rectangles drawn there.

Format: https://labelstud.io/guide/export (a rectangle is in percent of the picture's sides)
"""

from __future__ import annotations

from collections.abc import Iterator, Mapping
from typing import Any

from regioncap.inputs.fields import make_record
from regioncap.inputs.reading import Reading
from regioncap.records import InputRecord

_SIDES = ("x", "y", "width", "height")


def is_tasks(content: Any) -> bool:
    """Whether a JSON file's content is a list of tasks."""
    return (
        isinstance(content, list)
        and bool(content)
        and all(isinstance(each, dict) and isinstance(each.get("data"), dict) for each in content)
    )


def read(tasks: list[dict[str, Any]], reading: Reading) -> Iterator[InputRecord]:
    """Records of tasks; boxes are those of the last annotation, or else of a prediction."""
    for index, task in enumerate(tasks):
        known = task.get("annotations") or task.get("predictions") or []
        last = known[-1] if isinstance(known, list) and known else {}
        results = last.get("result") if isinstance(last, dict) else None
        boxes = list(_boxes(results, reading, f"task {task.get('id', index + 1)}"))
        fields = {**task["data"], "bbox": boxes if results is not None else None}
        record = make_record(fields, index=index, reading=reading)
        record.box_format = "xywh-percent"
        yield record


def _boxes(results: Any, reading: Reading, where: str) -> Iterator[list[Any]]:
    for result in results if isinstance(results, list) else []:
        value = result.get("value") if isinstance(result, Mapping) else None
        if not isinstance(value, Mapping) or result.get("type") == "textarea":
            continue  # words about a box that stands by itself
        if not all(side in value for side in _SIDES):
            reading.leave_out("results that are no rectangles", where)
        elif value.get("rotation"):
            reading.leave_out("rectangles that are rotated", where)
        else:
            yield [value[side] for side in _SIDES]
