"""Data sets of other tools, submitted as they are: which module reads which.

Names alone tell:

    *.json                        COCO annotations
    *.parquet, a folder of them   Parquet, one row a picture
    *.tar, a folder of them       WebDataset shards
    a folder with metadata.jsonl, metadata.csv or metadata.parquet, there or one level below
                                  Hugging Face's imagefolder

Boxes are taken as they stand and read as `--box-format` says.
"""

from __future__ import annotations

from collections.abc import Callable, Iterator
from dataclasses import dataclass
from pathlib import Path

from regioncap.inputs import coco, imagefolder, parquet, webdataset
from regioncap.records import InputRecord

#: Reads records of the files named.
_Reader = Callable[[list[Path]], Iterator[InputRecord]]


@dataclass(frozen=True, slots=True)
class Dataset:
    """A data set, to be read once."""

    #: Folder that image paths are relative to.
    root: Path
    records: Iterator[InputRecord]


def find_dataset(path: Path) -> Dataset | None:
    """Opens a data set of another tool; None if it is none of those known here.

    Reading it raises UsageError where its files are not what their names say (`bad-dataset`), or a
    package is not installed (`missing-extra`).

    Args:
        path: A file or a folder.
    """
    if path.is_dir():
        return _find_in_folder(path)
    readers: dict[str, _Reader] = {
        ".json": coco.read,
        ".parquet": parquet.read,
        ".tar": webdataset.read,
    }
    reader = readers.get(path.suffix.lower())
    return Dataset(path.parent, reader([path])) if reader else None


def _find_in_folder(folder: Path) -> Dataset | None:
    tables = sorted(
        table
        for name in imagefolder.TABLES
        for pattern in (name, f"*/{name}")
        for table in folder.glob(pattern)
    )
    if tables:
        return Dataset(folder, imagefolder.read(folder, tables))
    for suffix, reader in ((".tar", webdataset.read), (".parquet", parquet.read)):
        files = sorted(folder.glob(f"*{suffix}"))
        if files:
            return Dataset(folder, reader(files))
    return None
