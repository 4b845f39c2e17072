"""YOLO's folders: beside each picture, or in `labels/` for those in `images/`, a text of its boxes.

A line is `class cx cy w h`, perhaps with a confidence behind, or `class x1 y1 x2 y2 x3 y3 ...`, an
outline; all in fractions of the picture's sides.
Format: https://docs.ultralytics.com/datasets/detect/
"""

from __future__ import annotations

from collections.abc import Iterator
from pathlib import Path

from regioncap.inputs.fields import bad_dataset
from regioncap.inputs.pictures import Contents, pictures_of
from regioncap.records import InputRecord

_ROW = 5
_OUTLINE = 7


def is_yolo(folder: Path, contents: Contents) -> bool:
    """Whether the texts of the pictures hold boxes, or nothing at all: no objects."""
    texts = set(contents.others.get(".txt", ()))
    if not texts:
        return False
    labels = [label for label in map(_label_of, pictures_of(folder)) if label in texts]
    filled = (label for label in labels if (folder / label).stat().st_size)
    first = next(filled, None)
    if first is None:
        return bool(labels)
    return any(_first_row(folder / label) is not None for label in [first, *filled])


def read(folder: Path) -> Iterator[InputRecord]:
    """Records of a folder; a picture without a text, or with an empty one, has no regions."""
    for index, name in enumerate(pictures_of(folder)):
        rows = list(_rows(folder / _label_of(name)))
        yield InputRecord(
            index=index,
            line=index + 1,
            image=name,
            bbox=[box for _, box in rows],
            box_format="cxcywh-normalized",
            meta={"categories": [category for category, _ in rows]},
            picture=folder / name,
        )


def _label_of(name: str) -> str:
    """The text of a picture: `images/a.jpg` has `labels/a.txt`, any other has one beside it."""
    parts = list(Path(name).with_suffix(".txt").parts)
    for at in reversed(range(len(parts) - 1)):
        if parts[at] == "images":
            parts[at] = "labels"
            break
    return str(Path(*parts))


def _first_row(path: Path) -> tuple[int, list[float]] | None:
    try:
        return next(_rows(path), None)
    except Exception:  # a text of another kind, or none at all
        return None


def _rows(path: Path) -> Iterator[tuple[int, list[float]]]:
    if not path.is_file():
        return
    try:
        lines = path.read_text("utf-8").splitlines()
    except (OSError, UnicodeDecodeError) as error:
        raise bad_dataset(path, f"cannot be read: {error}") from error
    for number, line in enumerate(lines, start=1):
        if line.strip():
            yield _row(path, number, line)


def _row(path: Path, number: int, line: str) -> tuple[int, list[float]]:
    try:
        category, *sides = (float(word) for word in line.split())
    except ValueError:
        category, sides = -1, []
    if len(sides) + 1 in {_ROW, _ROW + 1} and category >= 0:
        return int(category), sides[: _ROW - 1]
    if len(sides) + 1 >= _OUTLINE and len(sides) % 2 == 0 and category >= 0:
        xs, ys = sides[::2], sides[1::2]
        left, top, right, bottom = min(xs), min(ys), max(xs), max(ys)
        return int(category), [(left + right) / 2, (top + bottom) / 2, right - left, bottom - top]
    raise bad_dataset(path, f"line {number} is no row of YOLO's: {line.strip()[:80]!r}")
