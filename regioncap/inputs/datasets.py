"""Data sets of other tools, submitted as they are: which module reads which.

    *.json                        COCO annotations, a list of records, JSON Lines
    *.parquet, a folder of them   Parquet, one row a picture
    *.tar, a folder of them       WebDataset shards
    *.csv                         a table with a row a picture, or a box
    a folder with metadata.jsonl, metadata.csv or metadata.parquet, there or below
                                  Hugging Face's imagefolder
    a folder with _annotations.coco.json, there or below
                                  Roboflow's COCO
    a folder with texts of boxes beside the pictures, or in labels/ for images/
                                  YOLO

Boxes are taken as they stand and read as `--box-format` says, unless the data set says itself how
they are meant.
"""

from __future__ import annotations

from collections.abc import Callable, Iterator
from dataclasses import dataclass
from pathlib import Path

from regioncap.errors import UsageError
from regioncap.inputs import coco, csv_file, imagefolder, json_file, parquet, webdataset, yolo
from regioncap.inputs.fields import bad_dataset
from regioncap.inputs.pictures import Contents, look_into, tell_left_out
from regioncap.inputs.reading import Reading
from regioncap.records import InputRecord

#: Reads records of the files named.
_Reader = Callable[[list[Path], Reading], Iterator[InputRecord]]
_READERS: dict[str, tuple[str, _Reader]] = {
    ".json": ("JSON", json_file.read),
    ".parquet": ("Parquet", parquet.read),
    ".tar": ("WebDataset", webdataset.read),
    ".csv": ("a CSV table", csv_file.read),
}
#: What is taken for a data set by its name and is none that is read, and what to do.
_NOT_READ = {
    ".xml": "VOC's boxes are not read: write COCO annotations or JSON Lines",
    ".yaml": "give the folder of the pictures",
    ".yml": "give the folder of the pictures",
    ".tsv": "save it as CSV",
    ".gz": "unpack it",
    ".tgz": "unpack it",
    ".zip": "unpack it",
    ".bz2": "unpack it",
    ".xz": "unpack it",
    ".7z": "unpack it",
    ".arrow": "load it with datasets and write it with to_parquet",
    ".vott": "export it as COCO",
    ".xlsx": "save it as CSV",
}
_ROBOFLOW = "_annotations.coco.json"


@dataclass(frozen=True, slots=True)
class Dataset:
    """A data set, to be read once."""

    #: Folder that image paths are relative to.
    root: Path
    records: Iterator[InputRecord]
    reading: Reading


def find_dataset(path: Path) -> Dataset | None:
    """Opens a data set of another tool; None if it is none of those known here.

    Reading it raises UsageError where its files are not what their names say (`bad-dataset`), or a
    package is not installed (`missing-extra`).

    Args:
        path: A file or a folder.

    Raises:
        UsageError: It is a file of a kind that is known and not read (`bad-dataset`).
    """
    if path.is_dir():
        return _find_in_folder(path)
    suffix = path.suffix.lower()
    if suffix in _NOT_READ and path.exists():
        raise bad_dataset(path, f"a {suffix} file is no data set that is read", _NOT_READ[suffix])
    if suffix not in _READERS:
        return None
    form, reader = _READERS[suffix]
    reading = Reading(form)
    return Dataset(path.parent, reader([path], reading), reading)


def _find_in_folder(folder: Path) -> Dataset | None:
    contents = look_into(folder)
    found = _find_tables(folder, contents) or _find_archives(folder, contents)
    if found is None and yolo.is_yolo(folder, contents):
        found = Dataset(folder, yolo.read(folder), Reading("YOLO's folder"))
        tell_left_out(folder, contents, found.reading)
    if found is None and not contents.pictures and ".arrow" in contents.others:
        raise bad_dataset(folder, "a data set of save_to_disk is not read", _NOT_READ[".arrow"])
    return found


def _find_tables(folder: Path, contents: Contents) -> Dataset | None:
    tables = [folder / name for name in contents.named(*imagefolder.TABLES)]
    if tables:
        reading = Reading("an imagefolder")
        return Dataset(folder, imagefolder.read(folder, tables, reading), reading)
    if files := contents.named(_ROBOFLOW):
        reading = Reading("COCO annotations in a folder")
        return Dataset(folder, _read_roboflow(folder, files, reading), reading)
    return None


def _read_roboflow(folder: Path, files: list[str], reading: Reading) -> Iterator[InputRecord]:
    """Records of several COCO files, each of which names pictures beside itself."""
    index = 0
    for name in files:
        content = json_file.load(folder / name)
        if not coco.is_coco(content):
            raise bad_dataset(folder / name, "no COCO annotations")
        for record in coco.read(folder / name, content, reading):
            record.index, record.line = index, index + 1
            if record.image:
                record.image = str(Path(name).parent / record.image)
            yield record
            index += 1


def _find_archives(folder: Path, contents: Contents) -> Dataset | None:
    """Shards in the folder; below it, as clones of the hub have them, where there is nothing else.

    Beside pictures, only those that hold pictures themselves count.
    """
    for suffix, holds_pictures in (
        (".tar", webdataset.has_pictures),
        (".parquet", parquet.has_images),
    ):
        names = contents.others.get(suffix, [])
        above = [name for name in names if Path(name).name == name]
        files = [folder / name for name in (above or ([] if contents.pictures else names))]
        if files and contents.pictures:
            files = [file for file in files if _tells(holds_pictures, file)]
        if files:
            form, reader = _READERS[suffix]
            reading = Reading(form)
            if contents.pictures and suffix == ".tar":  # rows of a table may name them
                reading.leave_out("pictures beside the data set", f"in {folder}")
            return Dataset(folder, reader(files, reading), reading)
    return None


def _tells(holds_pictures: Callable[[Path], bool], file: Path) -> bool:
    try:
        return holds_pictures(file)
    except UsageError:  # a stray file, which is then named as left out
        return False
