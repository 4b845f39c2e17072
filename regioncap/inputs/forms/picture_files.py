"""Which picture an annotation file means, in whatever layout the two lie."""

from __future__ import annotations

from collections import defaultdict
from collections.abc import Callable, Iterable, Iterator
from functools import lru_cache
from itertools import groupby
from pathlib import Path
from typing import NamedTuple

from regioncap.inputs.forms.base import Input
from regioncap.inputs.pictures import is_picture, pictures_of

#: All names that annotation files give, each with its file.
Names = Callable[[], Iterable[tuple[Path, str | None]]]
#: Files of one name, or one stem, by the folder that they lie in.
_Alike = dict[str, list[str]]


class _Claim(NamedTuple):
    """How well a picture fits an annotation."""

    #: Whether it lies in the folder that the annotation's name says.
    is_exact: bool
    #: How near its folder is to that of the annotation file.
    nearness: float


class Pictures:
    """Finds the pictures that annotation files name.

    Frames of many videos have the same names. Of a set that is there in part, an annotation whose
    picture is missing is not given a namesake that another annotation means.

    Args:
        source: What is read.
        names: All that the files name; asked for only where a picture lies elsewhere than its
            annotation says. Without it, who comes first has it.
    """

    def __init__(self, source: Input, names: Names | None = None) -> None:
        self._root = source.root
        self._reading = source.reading
        self._is_folder = source.is_folder
        self._files = source.files
        self._given = names
        self._taken: dict[str, str] = {}
        self._names: list[str] = []
        if source.is_folder:
            for name in pictures_of(source.root):
                if any(_is_of_masks(part) for part in Path(name).parts[:-1]):
                    self._reading.leave_out("pictures in folders of masks", name)
                else:
                    self._names.append(name)
        else:
            beside = dict.fromkeys(file.parent for file in source.files)
            for folder in beside:
                near = sorted(each.name for each in folder.iterdir() if each.is_file())
                self._names += [str((folder / n).relative_to(source.root)) for n in near]
        self._by_name: defaultdict[str, _Alike] = defaultdict(dict)
        self._by_stem: defaultdict[str, _Alike] = defaultdict(dict)
        for name in self._names:
            path = Path(name)
            at = str(path.parent)
            self._by_name[path.name].setdefault(at, []).append(name)
            if source.is_folder or is_picture(path):
                self._by_stem[path.stem].setdefault(at, []).append(name)
        self._folders = sorted({str(Path(name).parent) for name in self._names})
        #: Folders by their nearness to the one asked about last: files come folder by folder.
        self._ranked = lru_cache(maxsize=1)(self._rank)
        self._best: dict[str, tuple[_Claim, set[str]]] | None = None
        self._of_stem: defaultdict[str, list[Path]] | None = None

    def find(self, file: Path, named: str | None, *, by_stem: bool = False) -> str | None:
        """The picture of an annotation file, relative to the root; None if none is there.

        Where only a namesake is there, the name is that of the missing one: looked for once more
        by its bare name, it would be found again.

        Args:
            file: The annotation file.
            named: The name that it gives.
            by_stem: Whether it has the picture's own name, which then counts more than the name
                that it gives: files are renamed, and what stands in them stays.
        """
        beside = file.parent.relative_to(self._root)
        said = _said(named)
        name = Path(said).name
        alike = self._by_stem.get(file.stem, {}) if by_stem else {}
        same = self._by_name.get(name, {}) if Path(said).stem == file.stem else {}
        of_stem = self._nearest(same if alike and same else alike, beside)
        of_name = self._named(said, beside) if said else None
        if of_stem and of_name and of_stem != of_name and Path(of_name).stem != file.stem:
            what = "pictures' names in files of another picture's name, which is taken"
            self._reading.leave_out(what, f"{named} in {file.name}")
            of_name = of_stem
        found = of_name or of_stem
        if found is None:
            return None
        if not (self._is_its_own(found, file) if by_stem else self._is_meant(found, said, beside)):
            what = "namesakes of pictures that are missing, which other annotations mean"
            self._reading.leave_out(what, f"{found} for {named or file.name} of {file.name}")
            bare = _bare(said)
            return bare if "/" in bare else str(beside / Path(found).name)
        self._taken.setdefault(found, said)
        return found

    def _named(self, said: str, beside: Path) -> str | None:
        known = self._by_name.get(Path(said).name, {})
        exact, bare = known, _bare(said)
        if "/" in bare:
            end = f"/{bare}"
            kept = {at: [n for n in names if f"/{n}".endswith(end)] for at, names in known.items()}
            exact = {at: names for at, names in kept.items() if names}
        found = self._nearest(exact or known, beside)
        # Or it is named without an ending.
        return found or self._nearest(self._by_stem.get(Path(said).name, {}), beside)

    def _is_its_own(self, found: str, file: Path) -> bool:
        """Whether no other annotation file of a picture's name lies nearer to it."""
        folder, stem = Path(found).parent, Path(found).stem
        if folder == file.parent.relative_to(self._root) or stem != file.stem:
            return True
        if self._of_stem is None:
            self._of_stem = defaultdict(list)
            for each in self._files:
                self._of_stem[each.stem].append(each)
        mine = _shared(folder, file.parent.relative_to(self._root))
        return all(
            each == file or _shared(folder, each.parent.relative_to(self._root)) < mine
            for each in self._of_stem[stem]
        )

    def _is_meant(self, found: str, said: str, beside: Path) -> bool:
        """Whether no other name means this picture as much as this one does, or more."""
        claim = _claim(found, said, beside)
        has_folder = "/" in _bare(said)
        if claim.is_exact or (
            not has_folder and (len(self._files) < 2 or Path(found).parent == beside)
        ):
            return True
        if self._given is None:
            return self._taken.get(found, said) == said
        if self._best is None:
            self._best = {}
            for file, name in self._given():
                self._note(_said(name), file.parent.relative_to(self._root))
        best, sayings = self._best.get(found, (claim, set()))
        return claim >= best and len(sayings | {f"{beside}/{said}"}) == 1

    def _note(self, said: str, beside: Path) -> None:
        """Notes what picture an annotation would be given."""
        found = self._named(said, beside) if said else None
        if found is None or self._best is None:
            return
        claim, saying = _claim(found, said, beside), f"{beside}/{said}"
        best, sayings = self._best.setdefault(found, (claim, set()))
        if claim > best:
            self._best[found] = (claim, {saying})
        elif claim == best:
            sayings.add(saying)

    def _nearest(self, alike: _Alike, beside: Path) -> str | None:
        """The one of some files that lies nearest to a folder; None if two are as near."""
        if len(alike) < 2:
            found = next(iter(alike.values()), [])
            return found[0] if len(found) == 1 else None
        for folders in self._ranked(beside):
            near = [name for folder in folders if folder in alike for name in alike[folder]]
            if near:
                return near[0] if len(near) == 1 else None
        return None

    def _rank(self, beside: Path) -> list[list[str]]:
        """The folders of pictures, those first that are nearest to one; as near ones together."""
        near = sorted((-_shared(Path(each), beside), each) for each in self._folders)
        return [[each for _, each in some] for _, some in groupby(near, key=lambda pair: pair[0])]

    def path(self, name: str | None) -> Path | None:
        """The file of a name that was found."""
        return self._root / name if name else None

    def others(self) -> Iterator[str]:
        """The pictures beside those that were found; in other folders they are left out."""
        if not self._is_folder:
            return
        folders = {Path(name).parent for name in self._taken}
        for name in self._names:
            if name in self._taken:
                continue
            if Path(name).parent in folders:
                yield name
            else:
                self._reading.leave_out("pictures in folders of which no annotation speaks", name)

    def leave_out_others(self) -> None:
        """Notes the pictures of `others` as left out: the annotations do not name them."""
        for name in self.others():
            self._reading.leave_out("pictures that the annotations do not name", name)


def _said(named: str | None) -> str:
    return named.replace("\\", "/") if named else ""


def _bare(said: str) -> str:
    """A name without what leads away from the folder that it is read in."""
    return said.lstrip("./")


def _claim(found: str, said: str, beside: Path) -> _Claim:
    bare = _bare(said)
    is_exact = "/" in bare and f"/{found}".endswith(f"/{bare}")
    return _Claim(is_exact, _shared(Path(found).parent, beside))


def _is_of_masks(folder: str) -> bool:
    """Whether a folder holds Pascal VOC's masks, which have the names of their pictures."""
    return folder.startswith(("SegmentationClass", "SegmentationObject"))


#: What folders of pictures are called.
_USUAL = {"images", "jpegimages", "image_2", "imgs", "img"}


def _shared(one: Path, other: Path) -> float:
    """How near two folders are: the same is nearest, then those that share most of their path."""
    if one == other:
        return float("inf")
    a, b = one.parts, other.parts
    common = next((n for n, (x, y) in enumerate(zip(a, b, strict=False)) if x != y), None)
    shared = min(len(a), len(b)) if common is None else common
    # `train/labels` has `train/images`, and of `labels/train` the nearest is `images/train`; what
    # shows the annotations lies in folders of other names.
    is_alike = bool(a and b) and a[-1] == b[-1]
    return (
        shared + (0.5 if is_alike else 0) + (0.25 if _USUAL & {part.lower() for part in a} else 0)
    )
