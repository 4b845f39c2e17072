"""YOLO's folders: beside each picture, or in `labels/` for those in `images/`, a text of its boxes.

A line is `class cx cy w h`, perhaps with a confidence behind, or `class x1 y1 x2 y2 x3 y3 ...`, an
outline or a box that is turned; all in fractions of the picture's sides. Where `data.yaml` says
`kpt_shape`, key points follow the box. It also names the classes, and the folders or lists of the
splits; without it `classes.txt` and the like name the classes, and all pictures are taken.
Format: https://docs.ultralytics.com/datasets/detect/
"""

from __future__ import annotations

from collections.abc import Iterator
from dataclasses import dataclass, field
from pathlib import Path, PurePosixPath
from typing import Any

from regioncap.errors import UsageError
from regioncap.inputs.fields import bad_dataset
from regioncap.inputs.forms.base import Boxes, Input, Sample, record_of
from regioncap.inputs.forms.text_file import numbered_lines
from regioncap.inputs.forms.yaml_file import read_yaml
from regioncap.inputs.pictures import Contents, is_picture, pictures_of
from regioncap.records import InputRecord

_ROW = 5
_OUTLINE = 7
#: Corners of turned boxes may lie outside of the picture; a key point that is seen has a 2.
_FARTHEST = 1.5
_SPLITS = ("train", "val", "valid", "test")
#: Why nothing else is read.
_CONFINED = "confine_images is set, or it lies in a store"
#: Files with a class a line.
_CLASSES = ("classes.txt", "obj.names", "class.names", "_darknet.labels")


@dataclass(frozen=True, slots=True)
class _Set:
    """What a data set says of itself."""

    folder: Path
    names: dict[int, str] = field(default_factory=dict)
    #: Places of the pictures: folders, or lists of files.
    splits: tuple[str, ...] = ()
    #: Number of values behind the box of a pose; 0 for none.
    key_values: int = 0


def is_yolo(folder: Path, contents: Contents) -> bool:
    """Whether the texts of the pictures hold boxes, or nothing at all: no objects."""
    texts = set(contents.others.get(".txt", ()))
    if not texts:
        return False
    named = ((_label_of(name), _beside(name)) for name in pictures_of(folder))
    found = (next((label for label in labels if label in texts), None) for labels in named)
    labels = [label for label in found if label is not None]
    filled = (label for label in labels if (folder / label).stat().st_size)
    first = next(filled, None)
    if first is None:
        return bool(labels)
    return any(_first_row(folder / label) is not None for label in [first, *filled])


def yaml_of(folder: Path, contents: Contents) -> Path | None:
    """The one file of a folder that says what its data set is."""
    names = [*contents.others.get(".yaml", ()), *contents.others.get(".yml", ())]
    found = [folder / name for name in names if len(Path(name).parts) == 1]
    kept = [file for file in found if knows(Sample(file))]
    return kept[0] if len(kept) == 1 else None


def knows(sample: Sample) -> bool:
    """Whether a YAML file tells of a data set."""
    lines = sample.head.splitlines()
    keys = {line.split(b":")[0].strip() for line in lines if b":" in line and line[:1] != b" "}
    return bool(keys & {b"names", b"nc"}) and bool(keys & {b"train", b"val", b"test", b"path"})


def read(source: Input) -> Iterator[InputRecord]:
    """Records of a folder, or of the splits that its YAML file names.

    A picture without a text, or with an empty one, has no regions.

    Raises:
        UsageError: A line or the YAML file is none of YOLO's (`bad-dataset`).
    """
    file = source.files[0] if source.files else None
    known = _described(file) if file else _Set(source.root, _class_names(source.root))
    where = (
        _of_splits(file, known, source)
        if file
        else (source.root / name for name in pictures_of(source.root))
    )
    if file:
        where = _labelled(file, where, source)
    seen: set[Path] = set()
    for path in where:
        if path in seen:
            continue
        seen.add(path)
        yield _record(path, known, len(seen) - 1, source)


def _labelled(file: Path, where: Iterator[Path], source: Input) -> Iterator[Path]:
    """The same pictures; raises UsageError if none of them has a text."""
    begin: list[Path] = []
    for path in where:
        begin.append(path)
        if _text_of(path, source).is_file():
            yield from begin
            yield from where
            return
    if begin:
        what = f"none of its {len(begin):,} pictures has a text, as {_text_of(begin[0], source)}"
        raise bad_dataset(file, what, "boxes that are turned (labelTxt) are not read")


def _record(path: Path, known: _Set, index: int, source: Input) -> InputRecord:
    boxes = Boxes()
    for category, box in _rows(_text_of(path, source), known.key_values):
        name: Any = known.names.get(category, category)
        boxes.add(box, categories=name, category_ids=category)
    boxes.lists.setdefault("categories", [])
    inside = path.is_relative_to(source.root)
    return record_of(
        str(path.relative_to(source.root)) if inside else str(path), boxes, "cxcywh-normalized",
        index=index, reading=source.reading, picture=path,
    )  # fmt: skip


def _described(file: Path) -> _Set:
    said = read_yaml(file)
    names = said.get("names")
    if isinstance(names, list):
        names = dict(enumerate(names))
    if names is not None and not isinstance(names, dict):
        raise bad_dataset(file, "names is no list and no mapping")
    splits: list[str] = []
    for split in _SPLITS:
        value = said.get(split)
        for each in value if isinstance(value, list) else [value]:
            if isinstance(each, str) and each:
                splits.append(each)
            elif each is not None and each != "":
                raise bad_dataset(file, f"{split} is no path and no list of paths")
    base = said.get("path")
    folder = file.parent / base if isinstance(base, str) else file.parent
    kept = {int(key): str(name) for key, name in (names or {}).items() if _is_key(key)}
    return _Set(
        folder if folder.is_dir() else file.parent, kept, tuple(splits),
        _key_values(file, said.get("kpt_shape")),
    )  # fmt: skip


def _key_values(file: Path, shape: Any) -> int:
    """How many values the key points of a pose have together."""
    if shape is None:
        return 0
    is_shape = isinstance(shape, list) and len(shape) == 2
    if not is_shape or not all(isinstance(each, int) and 0 < each < 1_000 for each in shape):
        raise bad_dataset(file, f"kpt_shape is no [points, values]: {shape!r}"[:300])
    points, values = shape
    return int(points * values)


def _is_key(key: Any) -> bool:
    return isinstance(key, int) or (isinstance(key, str) and key.isdecimal() and len(key) < 10)


def _of_splits(file: Path, known: _Set, source: Input) -> Iterator[Path]:
    """The pictures that a YAML file names; all beside it, where it names no place."""
    if not known.splits:
        yield from (known.folder / name for name in pictures_of(known.folder))
        return
    found = False
    for split in known.splits:
        place = _place(file, known.folder, split)
        if place is not None and source.is_confined and not _is_below(place, source.root):
            what = f"{split} lies outside of its folder"
            raise bad_dataset(file, what, _CONFINED)
        if place is None:
            source.reading.leave_out("splits that are not there", split)
            continue
        found = True
        if place.is_dir():
            yield from (place / name for name in pictures_of(place))
        else:
            for path in _listed(place, known.folder):
                if source.is_confined and not _is_below(path, source.root):
                    what = "it names a picture outside of its folder"
                    raise bad_dataset(place, what, _CONFINED)
                yield path
    if not found:
        what = f"none of its splits is there: {', '.join(known.splits)}"
        raise bad_dataset(file, what, "give the folder that holds the pictures")


def _is_below(path: Path, folder: Path) -> bool:
    return path.resolve().is_relative_to(folder.resolve())


def _place(file: Path, folder: Path, split: str) -> Path | None:
    """Where a split lies: as it is written, or as Roboflow means it, without leading `../`."""
    bare = str(PurePosixPath(*[part for part in PurePosixPath(split).parts if part != ".."]))
    tries = [folder / split, file.parent / split, folder / bare, file.parent / bare]
    return next((path for path in tries if path.is_dir() or path.is_file()), None)


def _listed(file: Path, folder: Path) -> Iterator[Path]:
    """The pictures of a text with a path a line."""
    for number, name in numbered_lines(file):
        if not is_picture(Path(name)):
            raise bad_dataset(file, f"line {number} names no picture: {name[:80]!r}")
        tries = [file.parent / name, folder / name]
        yield next((path for path in tries if path.is_file()), tries[0])


def _class_names(folder: Path) -> dict[int, str]:
    for name in _CLASSES:
        file = folder / name
        if file.is_file():
            return {number - 1: line for number, line in numbered_lines(file)}
    return {}


def _text_of(path: Path, source: Input) -> Path:
    """The file of a picture's boxes; where there is none, the one that was looked for first.

    What lies above the folder that was given is the user's business, whatever it is called: only
    for a YAML file, which may stand below `images`, is it looked at.
    """
    tries = [Path(_label_of(str(path))), Path(_beside(str(path)))]
    if path.is_relative_to(source.root):
        own = source.root / _label_of(str(path.relative_to(source.root)))
        tries = [own, *tries[::-1]] if source.files and not source.is_confined else [own, tries[1]]
    return next((text for text in tries if text.is_file()), tries[0])


def _beside(name: str) -> str:
    return str(Path(name).with_suffix(".txt"))


def _label_of(name: str) -> str:
    """The text of a picture: `images/a.jpg` has `labels/a.txt`, any other has one beside it."""
    parts = list(Path(name).with_suffix(".txt").parts)
    for at in reversed(range(len(parts) - 1)):
        if parts[at] == "images":
            parts[at] = "labels"
            break
    return str(Path(*parts))


def _first_row(path: Path) -> tuple[int, list[float]] | None:
    lines = Sample(path).head.decode("utf-8", "replace").splitlines()
    first = next((line for line in lines if line.strip()), None)
    try:
        return _row(path, 1, first, 0) if first else None
    except UsageError:  # a text of another kind
        return None


def _rows(path: Path, key_values: int = 0) -> Iterator[tuple[int, list[float]]]:
    if not path.is_file():
        return
    for number, line in numbered_lines(path):
        yield _row(path, number, line, key_values)


def _row(path: Path, number: int, line: str, key_values: int) -> tuple[int, list[float]]:
    try:
        category, *sides = (float(word) for word in line.split())
    except ValueError:
        category, sides = -1.0, []
    is_class = category >= 0 and category.is_integer()
    if is_class and (
        len(sides) + 1 in {_ROW, _ROW + 1} or (key_values and len(sides) == 4 + key_values)
    ):
        return int(category), sides[: _ROW - 1]
    if is_class and not key_values and len(sides) + 1 >= _OUTLINE and len(sides) % 2 == 0:
        if max(sides) > _FARTHEST:
            raise bad_dataset(
                path,
                f"line {number} has {max(sides):g} for a fraction of a side: {line[:80]!r}",
                "poses need the kpt_shape of their data.yaml",
            )
        xs, ys = sides[::2], sides[1::2]
        left, top, right, bottom = min(xs), min(ys), max(xs), max(ys)
        return int(category), [(left + right) / 2, (top + bottom) / 2, right - left, bottom - top]
    hint = "" if key_values else "poses need the kpt_shape of their data.yaml"
    raise bad_dataset(path, f"line {number} is no row of YOLO's: {line[:80]!r}", hint)
