"""Validation: every problem of every record, with its place.

Nothing but the files is needed. Pictures are opened as far as their headers, or decoded.
"""

from __future__ import annotations

from collections import Counter
from dataclasses import asdict, dataclass, field
from pathlib import Path
from typing import Any

from regioncap.errors import RecordError
from regioncap.inputs.locate import ImageData, ImageFile, Locator, Place, ambiguous
from regioncap.records import InputRecord
from regioncap.settings import BoxFormat, Settings
from regioncap.views.box_formats import count_fits
from regioncap.views.boxes import Size
from regioncap.views.declared import check_declared, counted_size
from regioncap.views.pixels import decode, probe_turn
from regioncap.views.regions import check_boxes
from regioncap.views.sizes import check_shape

#: The records at the beginning of an input by which it is judged as a whole.
JUDGED = 1_000
#: The rule of pictures that lie in a store; they are not looked at.
REMOTE = "in a store, not looked at"

#: Holds the header of nearly every JPEG and PNG; where it does not, the whole file is read.
_HEAD_BYTES = 1 << 16

_BBOX_CODES = {"bad-bbox", "too-many-boxes", "bbox-misnamed"}
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
        # The message, which also stands alone elsewhere, names what it is about, but not which box.
        what = self.message
        if self.field.startswith("bbox["):
            what = f"{self.field} {what.removeprefix('box ')}"
        return f"{self.file}:{self.line}: {self.code}: {what}"

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
    #: Boxes that would be captioned.
    boxes: int = 0
    #: Whether its regions would be proposed.
    proposes: bool = False
    #: Tells its picture from others.
    picture: int = 0
    #: Size of the picture's file; 0 for one that lies in a store.
    image_bytes: int = 0
    #: Whether the record would come out as an error record.
    fails: bool = False
    #: By which rule its picture was found; empty where that was known.
    rule: str = ""
    #: The field that its boxes were read from, if that is none of the usual.
    boxes_from: str = ""
    #: How its boxes are read; None where it has none.
    box_format: BoxFormat | None = None
    #: How many of its boxes each format fits, of records by which the input is judged.
    fits: Counter[BoxFormat] = field(default_factory=Counter)


@dataclass(frozen=True, slots=True)
class Header:
    """What the beginning of a picture's file tells."""

    #: As shown, pixels.
    size_wh: Size
    #: Of EXIF, 1 to 8.
    orientation: int


class Checker:
    """Checks the records of one file.

    Args:
        settings: Limits, and how boxes are to be read.
        root: Folder that image paths are relative to.
        file: What findings call the file.
        image_root: The folder that the user names for pictures, if any.
        deep: Whether pictures are decoded.
    """

    def __init__(
        self,
        settings: Settings,
        root: Path,
        file: str,
        image_root: Path | None = None,
        *,
        deep: bool = False,
    ) -> None:
        self.locator = Locator(settings, root, image_root)
        self._settings = settings
        self._file = file
        self._deep = deep

    def check(self, record: InputRecord) -> Checked:
        """Finds all that is wrong with a record."""
        if record.error is not None:
            return self.rejected(record)
        try:
            place = self.locator.find(record)
            header = None
            if not isinstance(place, str):
                header = read_header(place, self._settings.max_image_pixels)
                if self._deep:
                    self._decode(place)
        except RecordError as error:
            return self.unreadable(record, error)
        return self.checked(record, place, header)

    def rejected(self, record: InputRecord) -> Checked:
        """What is to be said of a record with an error."""
        found = rejection(record, self._file)
        return Checked((found,) if found else (), fails=True)

    def unreadable(self, record: InputRecord, error: RecordError) -> Checked:
        """What is to be said of a record whose picture cannot be read."""
        findings = [self._finding(record, "image", error), *self._of_boxes(record, None)[0]]
        return Checked(tuple(findings), fails=True)

    def checked(self, record: InputRecord, place: Place, header: Header | None) -> Checked:
        """What is to be said of a record whose picture was found; without header, in a store."""
        size_wh = header.size_wh if header else None
        try:
            findings, usable = self._of_boxes(record, self._counted(record, header))
        except RecordError as error:
            findings, usable = [self._finding(record, "bbox", error)], 0
        given = record.bbox or []
        fails = bool(given) and not usable
        file = place if isinstance(place, ImageFile) else None
        if file is not None and file.other is not None:
            flaw = ambiguous(file.image, file.path, file.other, "the first is taken")
            findings.insert(0, self._finding(record, "image", flaw))
        if header is not None and given and self._settings.boxes_of == "shown":
            differs = check_declared(record.declared_wh, header.size_wh, header.orientation)
            findings += [self._finding(record, "bbox", differs)] if differs else []
        judged = record.index < JUDGED and record.box_format is None
        return Checked(
            tuple(findings),
            0 if fails else usable,
            proposes=record.bbox is None,
            picture=_picture_of(place),
            image_bytes=0 if isinstance(place, str) else place.size_bytes,
            fails=fails,
            rule=REMOTE if isinstance(place, str) else file.rule if file else "",
            boxes_from=record.boxes_from,
            box_format=(record.box_format or self._settings.box_format) if given else None,
            fits=count_fits(given, size_wh) if judged and size_wh else Counter(),
        )

    def _of_boxes(self, record: InputRecord, size_wh: Size | None) -> tuple[list[Finding], int]:
        """The findings of a record's boxes, and how many boxes can be used."""
        box_format = record.box_format or self._settings.box_format
        flaws = check_boxes(record.bbox or [], box_format, size_wh, is_alone=False)
        findings = [
            self._finding(record, f"bbox[{number}]", flaw)
            for number, flaw in enumerate(flaws)
            if flaw is not None
        ]
        return findings, sum(flaw is None or flaw.code == "box-cut" for flaw in flaws)

    def _counted(self, record: InputRecord, header: Header | None) -> Size | None:
        """The size that the boxes count in, if it is known."""
        declared_wh, boxes_of = record.declared_wh, self._settings.boxes_of
        if header is None:
            return declared_wh if boxes_of == "declared" else None
        return counted_size(declared_wh, header.size_wh, header.orientation, boxes_of)

    def _decode(self, place: ImageFile | ImageData) -> None:
        settings = self._settings
        decode(
            place.read(), max_bytes=settings.max_image_bytes, max_pixels=settings.max_image_pixels
        )

    def _finding(self, record: InputRecord, where: str, error: RecordError) -> Finding:
        message = _named(record, str(error)) if where == "image" else str(error)
        return Finding(self._file, record.line, where, error.code, message)


def _picture_of(place: Place) -> int:
    if isinstance(place, str):
        return hash(place)
    return hash(place.path if isinstance(place, ImageFile) else place.data)


def header_of(data: bytes, max_pixels: int) -> Header:
    """What the header of a picture tells.

    Raises:
        RecordError: It is no picture, is too large or too thin, or cannot be read.
    """
    size_wh, orientation = probe_turn(data, max_pixels)
    check_shape(size_wh)
    return Header(size_wh, orientation)


def read_header(file: ImageFile | ImageData, max_pixels: int) -> Header:
    """As `header_of`, from the first bytes of a file where they tell."""
    try:
        return header_of(file.read(_HEAD_BYTES), max_pixels)
    except RecordError as error:
        if error.code != "image-unreadable" or file.size_bytes <= _HEAD_BYTES:
            raise
        return header_of(file.read(), max_pixels)
