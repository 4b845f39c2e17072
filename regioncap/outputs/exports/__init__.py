"""Exports: results in the forms that other tools read.

To add a format: one module with a class as `base.Format` describes, imported here, and one line in
`_ALL`.
"""

from __future__ import annotations

from collections.abc import Iterable
from pathlib import Path

from regioncap.errors import UsageError
from regioncap.files import whole, written
from regioncap.outputs.exports.base import About, Format, Item
from regioncap.outputs.exports.coco import Coco
from regioncap.outputs.exports.csv import Csv, MarkedCsv
from regioncap.outputs.exports.imagefolder import HuggingFace
from regioncap.outputs.exports.jsonl import Jsonl
from regioncap.outputs.exports.labelstudio import LabelStudio
from regioncap.outputs.exports.parquet import Parquet
from regioncap.outputs.exports.sidecars import Sidecars
from regioncap.outputs.exports.webdataset import WebDataset
from regioncap.packages import require

_ALL: tuple[Format, ...] = (
    Jsonl(),
    Csv(),
    Coco(),
    Parquet(),
    WebDataset(),
    HuggingFace(),
    LabelStudio(),
    Sidecars(),
)
FORMATS: dict[str, Format] = {each.name: each for each in _ALL}


#: Formats by the ending of the file that is to be written.
_BY_SUFFIX = {
    ".jsonl": "jsonl", ".ndjson": "jsonl", ".csv": "csv", ".json": "coco", ".parquet": "parquet",
}  # fmt: skip


def name_for(path: Path) -> str:
    """The format that a file to be written means by its ending; `jsonl` if it has none.

    Raises:
        UsageError: No format, or several, have that ending (`unknown-format`).
    """
    suffix = path.suffix.lower()
    if suffix and suffix not in _BY_SUFFIX:
        raise UsageError(
            f"no format is known by the ending {suffix}",
            code="unknown-format",
            hint=f"name one with -f: {', '.join(FORMATS)}",
        )
    return _BY_SUFFIX.get(suffix, "jsonl")


def get(name: str, *, bom: bool = False) -> Format:
    """The format of a name, ready to use.

    Args:
        name: The name.
        bom: Whether CSV begins with a byte order mark; of the others none has one.

    Raises:
        UsageError: There is none (`unknown-format`), or its packages are not installed
            (`missing-extra`).
    """
    if name not in FORMATS:
        raise UsageError(
            f"there is no export format {name!r}",
            code="unknown-format",
            hint=f"formats: {', '.join(FORMATS)}",
        )
    for package in FORMATS[name].packages:
        require(package, f"the format {name}")
    if bom and name != "csv":
        raise UsageError(f"{name} has no byte order mark", code="bad-bom", hint="leave --bom out")
    return MarkedCsv() if bom else FORMATS[name]


def export(format_: Format, items: Iterable[Item], path: Path, about: About) -> None:
    """Writes an export; what lies at `path` is whole or not there.

    Args:
        format_: From `get`.
        items: The results; with pictures, if the format takes them.
        path: The file or folder to make. A file is replaced; a folder with something in it is not.
        about: What to say of the whole.

    Raises:
        UsageError: The path cannot be written (`output-exists`, `bad-output`).
    """
    with written(path):
        path.parent.mkdir(parents=True, exist_ok=True)
        _check_free(path, makes_folder=format_.makes_folder)
        with whole(path) as temporary:
            if format_.makes_folder:
                temporary.mkdir()
            format_.write(items, temporary, about)


def _check_free(path: Path, *, makes_folder: bool) -> None:
    if not makes_folder and path.is_dir():
        raise UsageError(f"{path} is a folder", code="output-exists", hint="name a file with -o")
    if makes_folder and path.exists() and (not path.is_dir() or any(path.iterdir())):
        raise UsageError(
            f"{path} exists and is no empty folder",
            code="output-exists",
            hint="name a new folder with -o, or remove it",
        )
