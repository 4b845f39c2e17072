"""Data sets of other tools, submitted as they are: which of the forms a file or folder has.

What files hold tells, not how they are called. Boxes are taken as they stand and read as
`--box-format` says, unless the data set says itself how they are meant.
"""

from __future__ import annotations

import re
from collections.abc import Iterator
from dataclasses import dataclass
from pathlib import Path

from regioncap.errors import UsageError
from regioncap.inputs.fields import bad_dataset
from regioncap.inputs.forms import (
    FORMS,
    coco,
    form_of,
    imagefolder,
    json_file,
    parquet,
    saved,
    table,
    webdataset,
    yolo,
)
from regioncap.inputs.forms.base import Form, Input, Sample
from regioncap.inputs.forms.xml_file import root_of
from regioncap.inputs.pictures import Contents, look_into, pictures_of, tell_left_out
from regioncap.inputs.reading import Reading
from regioncap.records import InputRecord

_UNPACK = "unpack it, and give the folder"
#: Beginnings of files that are no data set that is read, what they are, and what to do.
_NOT_READ = (
    (rb"\x1f\x8b", "a gzip archive", _UNPACK),
    (rb"PK\x03\x04.{4,200}xl/", "an Excel file", "save it as CSV"),
    (rb"PK\x03\x04", "a zip archive", _UNPACK),
    (rb"BZh", "a bzip2 archive", _UNPACK),
    (rb"\xfd7zXZ", "an xz archive", _UNPACK),
    (rb"7z\xbc\xaf", "a 7z archive", _UNPACK),
    (rb"(ARROW1|\xff\xff\xff\xff)", "an Arrow file", "give the folder that save_to_disk wrote"),
    (rb"SQLite format 3", "an SQLite database", "export it as JSON Lines"),
    (rb"\x89HDF", "an HDF5 file", "export it as JSON Lines"),
    (rb"(\x80[\x02-\x05]|\x93NUMPY)", "a file of Python's", "export it as JSON Lines"),
)
#: JSON of tools whose form is known and not read, by a member.
_OTHER_JSON = {
    "assets": ("VoTT's export", "export it as COCO or Pascal VOC"),
    "ontology": ("Labelbox's or Encord's export", "export it as COCO"),
    "features": ("GeoJSON", "export it as COCO"),
    "annotations": ("annotations without the pictures that they are of", "images is missing"),
}
_LINES = {".jsonl", ".ndjson"}
_ROBOFLOW = "_annotations.coco.json"
_JSON_HINT = "COCO, LabelMe, VIA, Label Studio, a list of records or one record a line are read"


@dataclass(frozen=True, slots=True)
class Dataset:
    """A data set, to be read once."""

    #: Folder that image paths are relative to.
    root: Path
    records: Iterator[InputRecord]
    reading: Reading


def find_dataset(path: Path, *, is_confined: bool = False) -> Dataset | None:
    """Opens a data set of another tool; None for JSON Lines, a picture and pictures alone.

    Reading it raises UsageError where its files are not what they seem (`bad-dataset`), or a
    package is not installed (`missing-extra`).

    Args:
        path: A file or a folder.
        is_confined: Whether nothing outside of it may be read.

    Raises:
        UsageError: It is a file of a kind that is not read (`bad-dataset`).
    """
    if path.is_dir():
        return _find_in_folder(path, is_confined)
    if not path.is_file() or path.suffix.lower() in _LINES:
        return None
    sample = Sample(path)
    if path.suffix.lower() in {".yaml", ".yml"} and yolo.knows(sample):
        return _yolo(path.parent, [path], is_confined=is_confined)
    if not sample.head:
        return None
    if sample.start != b"{" or not _begins_with_lines(sample.head):
        return _find_in_file(sample, is_confined)
    return None


def _begins_with_lines(head: bytes) -> bool:
    """Whether a file that begins with an object has another in the next line."""
    lines = [line.strip() for line in head.splitlines()[:3] if line.strip()]
    return len(lines) > 1 and lines[0].endswith(b"}") and lines[1].startswith(b"{")


def _find_in_file(sample: Sample, is_confined: bool) -> Dataset | None:
    path = sample.path
    for beginning, what, hint in _NOT_READ:
        if re.match(beginning, sample.head, re.DOTALL):
            raise bad_dataset(path, f"{what}, which is no data set that is read", hint)
    form = form_of(sample)
    if form is not None:
        return _dataset(form, path.parent, [path], is_confined=is_confined)
    if sample.start in {b"{", b"["}:
        return _of_json(sample)
    _check_text(sample)
    return None


def _of_json(sample: Sample) -> Dataset | None:
    if json_file.is_empty(sample):
        raise bad_dataset(sample.path, "an empty list", _JSON_HINT)
    if json_file.holds_lines(sample):
        return None
    document = sample.document
    for name, (what, hint) in _OTHER_JSON.items():
        if isinstance(document, dict) and name in document:
            raise bad_dataset(sample.path, f"{what}: not read", hint)
    raise bad_dataset(sample.path, "JSON of no known form", _JSON_HINT)


def _check_text(sample: Sample) -> None:
    """Raises UsageError for what is known by its ending or its beginning and is not read."""
    path, suffix = sample.path, sample.path.suffix.lower()
    if suffix in {".parquet", ".tar"}:
        what = "cannot be read as " + ("Parquet" if suffix == ".parquet" else "WebDataset shard")
        raise bad_dataset(path, what, "it may be damaged, or not be all there")
    if sample.start == b"<" and suffix not in {".svg"}:
        known = root_of(sample.head)
        what = f"XML of no known form (<{known}>)" if known else "no XML"
        raise bad_dataset(path, what, "Pascal VOC and CVAT are read")
    if suffix in {".yaml", ".yml"}:
        raise bad_dataset(path, "no data set of YOLO's", "give the folder of the pictures")
    if suffix in {".csv", ".tsv"}:
        raise table.no_image_column(sample)
    if suffix in {".xml", ".vott", ".json", ".arrow", ".gz", ".tgz", ".zip", ".xlsx"}:
        raise bad_dataset(path, f"a {suffix} file that is none", _JSON_HINT)


def _dataset(
    form: Form,
    root: Path,
    files: list[Path],
    *,
    is_folder: bool = False,
    is_confined: bool = False,
) -> Dataset:
    reading = Reading(form.name)
    source = Input(root, files, reading, is_folder, is_confined)
    return Dataset(root, form.read(source), reading)


def _find_in_folder(folder: Path, is_confined: bool) -> Dataset | None:
    contents = look_into(folder)
    if tables := [folder / name for name in contents.named(*imagefolder.TABLES)]:
        reading = Reading("an imagefolder")
        records = imagefolder.read(Input(folder, tables, reading, True))
        return Dataset(folder, _naming_others(Dataset(folder, records, reading), folder), reading)
    if files := saved.files_of(folder):
        reading = Reading("a data set of save_to_disk")
        return Dataset(folder, saved.read(Input(folder, files, reading, True)), reading)
    if files := [folder / name for name in contents.named(_ROBOFLOW)]:
        return _dataset(coco.FORM, folder, files, is_folder=True)
    if (file := yolo.yaml_of(folder, contents)) is not None:
        return _yolo(folder, [file], contents, is_confined=is_confined)
    if yolo.is_yolo(folder, contents):
        return _yolo(folder, [], contents, is_confined=is_confined)
    return _find_archives(folder, contents) or _of_files(folder, contents, is_confined)


def _yolo(
    folder: Path, files: list[Path], contents: Contents | None = None, *, is_confined: bool
) -> Dataset:
    reading = Reading("YOLO's folder")
    if contents is not None:
        tell_left_out(folder, contents, reading, are_texts_read=True)
    return Dataset(folder, yolo.read(Input(folder, files, reading, True, is_confined)), reading)


def _of_files(folder: Path, contents: Contents, is_confined: bool) -> Dataset | None:
    """What files of annotations in a folder of pictures hold; None if no one form is there."""
    found: dict[str, list[Path]] = {}
    for form, path in _annotations(folder, contents):
        found.setdefault(form.name, []).append(path)
    if len(found) != 1:
        return None
    [(name, files)] = found.items()
    form = next(each for each in FORMS if each.name == name)
    if form.is_per_picture:
        files = sorted({*files, *_empty_beside(folder, contents, files)})
    elif len({file.parent for file in files}) < len(files) and not _are_apart(form, files):
        return None  # two files that may speak of the same pictures
    dataset = _dataset(form, folder, files, is_folder=True, is_confined=is_confined)
    tell_left_out(folder, contents, dataset.reading, set(files))
    return dataset


def _are_apart(form: Form, files: list[Path]) -> bool:
    """Whether files speak of pictures of their own, as the splits of COCO do."""
    if form is not coco.FORM:
        return False
    names = [coco.names_in(file) for file in files]
    return len(set().union(*names)) == sum(map(len, names))


def _empty_beside(folder: Path, contents: Contents, files: list[Path]) -> Iterator[Path]:
    """The empty files beside others of a form, which say that a picture has no objects."""
    beside = {(file.parent, file.suffix) for file in files}
    for names in contents.others.values():
        for path in (folder / name for name in names):
            if (path.parent, path.suffix) in beside and not path.stat().st_size:
                yield path


def _annotations(folder: Path, contents: Contents) -> Iterator[tuple[Form, Path]]:
    """The files of a folder that hold boxes, and their form."""
    suffixes = {
        suffix for form in FORMS for suffix in form.suffixes if suffix not in {".tar", ".parquet"}
    }
    for suffix in sorted(suffixes & contents.others.keys()):
        for name in contents.others[suffix]:
            sample = Sample(folder / name)
            try:
                form = form_of(sample)
                if form is not None and suffix in form.suffixes and _has_boxes(form, sample):
                    yield form, sample.path
            except UsageError:
                continue  # no data set; named as left out where it looks like one


def _has_boxes(form: Form, sample: Sample) -> bool:
    if form is coco.FORM:
        return coco.has_boxes(sample)
    if form is table.FORM:
        return table.has_boxes(sample)
    return form is not json_file.FORM


def _find_archives(folder: Path, contents: Contents) -> Dataset | None:
    """Shards in the folder; below it, as clones of the hub have them, where none lie there.

    A folder of pictures is no set of shards, whatever archives lie in it; but a table may name its
    pictures.
    """
    for form in (webdataset.FORM, parquet.FORM):
        [suffix] = form.suffixes
        names = contents.others.get(suffix, [])
        above = [name for name in names if Path(name).name == name]
        if not contents.pictures:
            files = [folder / name for name in above or names]
            if files:
                return _dataset(form, folder, files, is_folder=True)
        elif form is parquet.FORM:
            files = [folder / name for name in above if parquet.names_pictures(folder / name)]
            if files:
                found = _dataset(form, folder, files, is_folder=True)
                tell_left_out(folder, contents, found.reading, set(files))
                return Dataset(folder, _naming_others(found, folder), found.reading)
    return None


def _naming_others(found: Dataset, folder: Path) -> Iterator[InputRecord]:
    """The records; and when all are read, what pictures they do not name."""
    named: set[str] = set()
    for record in found.records:
        named.add(Path(record.image or "").name)
        yield record
    for name in pictures_of(folder):
        if Path(name).name not in named:
            found.reading.leave_out("pictures that the data set does not name", name)
