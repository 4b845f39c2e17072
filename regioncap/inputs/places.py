"""By which rules a path of a record is looked for on this machine.

In this order; the first place that has the file is taken:

    absolute           as it stands
    beside the file    relative to the folder of the input's file
    --image-root       below the folder that the user names
    working folder     relative to the working folder, as DataFlow-MM reads its paths
    folders beside     in a folder beside the file, or beside its folder, if one alone has it: so
                       COCO's pictures lie, `annotations/x.json` and `train2017/`; or in the
                       folder above

Names that differ in Unicode's composed and decomposed forms, or by backslashes, count as the same.
"""

from __future__ import annotations

import filecmp
import os
import unicodedata
from collections.abc import Iterator
from dataclasses import dataclass
from functools import cached_property, lru_cache
from itertools import islice
from pathlib import Path

#: The rule by which only one file may be found.
BESIDE = "in folders beside the file"
#: Folders beside the file that are looked into: a thousand classes, and some splits of them.
_MOST_FOLDERS = 3_000
#: A folder of no more names than these is listed once; in a larger one each name is looked for.
_FEW = 200


@dataclass(frozen=True, slots=True)
class Found:
    """A file, and how it was found."""

    path: Path
    rule: str
    #: Another file that the same name means by a later rule, and that differs from this one.
    other: Path | None = None


class Places:
    """Looks for the files that records name.

    Args:
        root: Folder of the input's file.
        image_root: The folder that the user names for pictures, if any.
    """

    def __init__(self, root: Path, image_root: Path | None = None) -> None:
        self._folders = [("beside the file", root)]
        if image_root is not None:
            self._folders.append(("below --image-root", image_root))
        self._folders.append(("in the working folder", Path()))
        self._root = root
        self._few_names: dict[Path, frozenset[str] | None] = {}

    def find(self, name: str) -> Found | None:
        """The file of a name, or None.

        Raises:
            OSError, ValueError: The name is none that a file system takes.
        """
        if Path(name).is_absolute():
            path = existing(Path("/"), name.lstrip("/"))
            return Found(path, "by absolute paths") if path else None
        found = [Found(path, rule) for rule, path in self._in_folders(name)]
        if not found:
            found = [Found(path, BESIDE) for path in self._beside(name)]
        if not found:
            return None
        first = found[0]
        other = next((each.path for each in found[1:] if not _same(first.path, each.path)), None)
        return Found(first.path, first.rule, other)

    def _in_folders(self, name: str) -> Iterator[tuple[str, Path]]:
        for rule, folder in self._folders:
            path = existing(folder, name)
            if path is not None:
                yield rule, path

    def _beside(self, name: str) -> Iterator[Path]:
        if ".." in Path(name).parts:
            return  # it would lead out of the folder again
        is_plain = name.isascii() and "\\" not in name
        parts = Path(name.replace("\\", "/")).parts
        first = unicodedata.normalize("NFC", parts[0]) if parts else ""
        for folder in self._neighbours:
            if folder not in self._few_names:
                self._few_names[folder] = _few_names_in(folder)
            names = self._few_names[folder]
            if names is not None and first not in names:
                continue  # many pictures that are nowhere would be looked for everywhere
            path = folder / name if is_plain else existing(folder, name)
            if path is not None and path.is_file():
                yield path

    @cached_property
    def _neighbours(self) -> list[Path]:
        """The folder above, folders beside the file, and beside its folder, and those in them."""
        root = self._root.resolve()
        starts = [root] if root.parent == root.parent.parent else [root, root.parent]
        near = [folder for start in starts for folder in _folders_in(start)]
        below = (inner for folder in near for inner in _folders_in(folder))
        all_ = dict.fromkeys([*starts[1:], *near, *below])
        return [folder for folder in all_ if folder != root][:_MOST_FOLDERS]


def existing(folder: Path, name: str) -> Path | None:
    """The file of a name in a folder, whatever its Unicode form and its slashes."""
    path = folder / name
    if path.is_file():
        return path
    here = folder
    for part in Path(name.replace("\\", "/")).parts:
        here /= part
        if part not in {"..", "."} and not here.exists():
            known = _names_in(str(here.parent)).get(unicodedata.normalize("NFC", part))
            if known is None:
                return None
            here = here.with_name(known)
    return here if here.is_file() else None


@lru_cache(maxsize=256)
def _names_in(folder: str) -> dict[str, str]:
    """The names in a folder, by their composed form."""
    try:
        with os.scandir(folder) as entries:
            return {unicodedata.normalize("NFC", entry.name): entry.name for entry in entries}
    except OSError:
        return {}


def _few_names_in(folder: Path) -> frozenset[str] | None:
    """The names in a folder, in their composed form; None if they are many."""
    try:
        with os.scandir(folder) as entries:
            names = [entry.name for entry in islice(entries, _FEW + 1)]
    except OSError:
        return None
    if len(names) > _FEW:
        return None
    return frozenset(unicodedata.normalize("NFC", name) for name in names)


def _folders_in(folder: Path) -> list[Path]:
    try:
        with os.scandir(folder) as entries:
            names = sorted(each.name for each in entries if each.is_dir())
    except OSError:
        return []
    return [folder / name for name in names if not name.startswith(".")]


def _same(one: Path, other: Path) -> bool:
    try:
        return one.samefile(other) or filecmp.cmp(one, other, shallow=False)
    except OSError:
        return False
