"""Checking an input before it is submitted: every problem of every record, with its place.

Nothing but the files is needed. Pictures are opened as far as their headers.
"""

from __future__ import annotations

from collections import Counter
from dataclasses import asdict, dataclass, field, fields
from pathlib import Path
from typing import Any

from regioncap.errors import RecordError
from regioncap.inputs.locate import ImageData, ImageFile, Locator
from regioncap.records import SCHEMA_VERSION, InputRecord
from regioncap.settings import Settings
from regioncap.views.boxes import Size
from regioncap.views.pixels import probe
from regioncap.views.regions import check_box

#: Holds the header of nearly every JPEG and PNG; where it does not, the whole file is read.
_HEAD_BYTES = 1 << 16

_BBOX_CODES = {"bad-bbox", "too-many-boxes"}
#: What other tools call boxes. Read here as any other field: into meta.
_BBOX_ALIKE = ("bboxes", "boxes", "box", "bounding_boxes", "bounding_box", "bboxs", "rois")
_IMAGE_CODES = {"no-image", "bad-image-uri", "bucket-not-allowed"}


@dataclass(frozen=True, slots=True)
class Finding:
    """One problem of an input."""

    file: str
    #: Line of the file, or number of the picture in a folder, from 1.
    line: int
    #: `line`, `image`, `bbox`, or one box as `bbox[2]`, counted from 0 as in JSON paths.
    field: str
    code: str
    #: What is wrong, and in parentheses what to do.
    message: str

    def __str__(self) -> str:
        # The field has been named; the message, which also stands alone elsewhere, names it again.
        what = self.message.removeprefix("image ").removeprefix("box ")
        return f"{self.file}:{self.line}: {self.field} {self.code} {what}"

    def as_json(self) -> dict[str, Any]:
        """The finding as a JSON object."""
        return {"kind": "problem", **asdict(self)}


def rejection(record: InputRecord, file: str) -> Finding | None:
    """Why a record cannot be captioned, as far as its own `error` says; None if it has none."""
    if record.error is None:
        return None
    code = record.error.code
    where = _field(code)
    message = _named(record, record.error.message) if where == "image" else record.error.message
    return Finding(file, record.line, where, code, message)


def _named(record: InputRecord, message: str) -> str:
    """A message about a picture that says which: those about its content alone do not."""
    if not record.image or record.image in message:
        return message
    return f"{record.image!r}: {message}"


def _field(code: str) -> str:
    if code in _BBOX_CODES:
        return "bbox"
    return "image" if code in _IMAGE_CODES or code.startswith("image-") else "line"


@dataclass(frozen=True, slots=True)
class Checked:
    """What was found of one record."""

    findings: tuple[Finding, ...] = ()
    #: Boxes that would be captioned; 0 asks for proposals, unless the record fails.
    boxes: int = 0
    #: Size of the picture's file; 0 for one that lies in a store.
    image_bytes: int = 0
    #: Whether the record would come out as an error record.
    fails: bool = False


@dataclass(slots=True)
class Totals:
    """What was found of all records."""

    records: int = 0
    #: Records that would come out as error records.
    failing: int = 0
    #: Records that have a problem.
    flawed: int = 0
    boxes: int = 0
    #: Records without boxes: theirs would be proposed.
    unboxed: int = 0
    images: int = 0
    image_bytes: int = 0
    problems: Counter[str] = field(default_factory=Counter)

    def add(self, checked: Checked) -> None:
        """Counts one more record."""
        self.records += 1
        self.failing += checked.fails
        self.flawed += bool(checked.findings)
        self.boxes += checked.boxes
        self.unboxed += not checked.boxes and not checked.fails
        self.images += checked.image_bytes > 0 and not checked.fails
        self.image_bytes += 0 if checked.fails else checked.image_bytes
        self.problems.update(finding.code for finding in checked.findings)

    def as_json(self) -> dict[str, Any]:
        """The totals as a JSON object."""
        counts = {each.name: getattr(self, each.name) for each in fields(self)}
        problems = dict(self.problems.most_common())
        return {"kind": "summary", "schema_version": SCHEMA_VERSION, **counts, "problems": problems}


class Checker:
    """Checks the records of one file.

    Args:
        settings: Limits, and how boxes are to be read.
        root: Folder that image paths are relative to.
        file: What findings call the file.
    """

    def __init__(self, settings: Settings, root: Path, file: str) -> None:
        self._locator = Locator(settings, root)
        self._max_pixels = settings.max_image_pixels
        self._box_format = settings.box_format
        self._file = file

    def check(self, record: InputRecord) -> Checked:
        """Finds all that is wrong with a record."""
        rejected = rejection(record, self._file)
        if rejected is not None:
            return Checked((rejected,), fails=True)
        findings, size_wh, image_bytes = [], None, 0
        try:
            place = self._locator.find(record)
            if not isinstance(place, str):
                size_wh, image_bytes = header_size(place, self._max_pixels), place.size_bytes
        except RecordError as error:
            findings.append(self._finding(record, "image", error))
        given, fails, usable = record.bbox or [], bool(findings), 0
        findings += self._misnamed(record)
        for number, value in enumerate(given):
            flaw = check_box(value, self._box_format, size_wh)
            usable += flaw is None or flaw.code == "box-cut"
            if flaw is not None:
                findings.append(self._finding(record, f"bbox[{number}]", flaw))
        fails = fails or (bool(given) and not usable)
        return Checked(tuple(findings), 0 if fails else usable, image_bytes, fails)

    def _misnamed(self, record: InputRecord) -> list[Finding]:
        """Boxes under a name that nobody reads, where there are none under the right one."""
        alike = [name for name in _BBOX_ALIKE if record.bbox is None and record.meta.get(name)]
        error = RecordError(
            "boxes are read from bbox alone, and would be proposed here",
            code="bbox-misnamed",
            hint="rename the field to bbox",
        )
        return [self._finding(record, name, error) for name in alike]

    def _finding(self, record: InputRecord, where: str, error: RecordError) -> Finding:
        message = _named(record, str(error)) if where == "image" else str(error)
        return Finding(self._file, record.line, where, error.code, message)


def header_size(file: ImageFile | ImageData, max_pixels: int) -> Size:
    """Size of a picture as shown, from the first bytes of its file where they tell.

    Raises:
        RecordError: It is no picture, is too large, or cannot be read.
    """
    try:
        return probe(file.read(_HEAD_BYTES), max_pixels)
    except RecordError as error:
        if error.code != "image-unreadable" or file.size_bytes <= _HEAD_BYTES:
            raise
        return probe(file.read(), max_pixels)
