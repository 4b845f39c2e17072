"""Records: one line of the input, on its way to one line of the output.

    InputRecord      as submitted: what the line said, or what is wrong with it
    RenderedRecord   pictures drawn and prompts made: all that the caption stage needs
    results          plain dicts in the output's form, see `output_record`

Reading a line never raises: a line that cannot be used becomes a record that says so, and comes
out as an error record in its place.
"""

from __future__ import annotations

import json
import math
from collections.abc import Iterable
from contextlib import suppress
from dataclasses import dataclass
from pathlib import Path
from typing import Annotated, Any, Literal, TypeVar

from pydantic import (
    AfterValidator,
    BaseModel,
    ConfigDict,
    Field,
    PlainSerializer,
    SerializerFunctionWrapHandler,
    model_serializer,
    model_validator,
)

from regioncap.errors import NewerFormatError, RegionCapError
from regioncap.settings import BoxFormat

#: The version of all that is stored, checked at each read and written with each write: in
#: `job.json`, in every line of input, rendered and results parts, and in `_SUCCESS`. A reader older
#: than what it reads would drop fields without a word, or take them for something else; so it
#: refuses, and a worker then leaves the shard to one that is new enough. Raise it when an older
#: program would go wrong with what a newer one writes: a field that changes what comes out, a new
#: meaning of an old one. A field that may be left out needs no new version.
#:
#:     1   the first
#:     2   `bbox: []` is a picture without regions (before: proposals); a record may have a box
#:         format of its own, and the size that the input declares
#:     3   a job says how its model takes pictures (before: as Qwen2.5-VL does); a record may ask
#:         for a caption of the whole picture, and a job for attributes of regions
SCHEMA_VERSION = 3


def check_version(version: int) -> int:
    """Returns a version that can be read here.

    Raises:
        NewerFormatError: It cannot.
    """
    if version > SCHEMA_VERSION:
        raise NewerFormatError(
            f"stored in format {version} by a newer RegionCap; this one reads up to"
            f" {SCHEMA_VERSION}",
            hint="use that newer version here",
        )
    return version


def check_fields(fields: dict[str, Any]) -> dict[str, Any]:
    """Returns a stored object whose version can be read here; one without is of the first.

    Raises:
        NewerFormatError: It cannot.
    """
    check_version(fields.get("schema_version", 1))
    return fields


#: A field that is checked when it is read, and is this program's own version when written.
FormatVersion = Annotated[
    int, AfterValidator(check_version), PlainSerializer(lambda _: SCHEMA_VERSION, return_type=int)
]

#: Longest input line, in bytes; a box list of a million numbers fits.
MAX_LINE_BYTES = 10_000_000
#: Deepest nesting of an input line: parts of the way to the results read no more than twice that.
MAX_DEPTH = 100
#: Most boxes in one record.
MAX_REGIONS = 1_000

Stage = Literal["submit", "render", "caption"]
#: How a region is shown to the engine.
Way = Literal["marks", "crop"]
Status = Literal["ok", "refused", "missing", "invalid", "skipped"]


class Problem(BaseModel):
    """Why a record has no caption."""

    model_config = ConfigDict(frozen=True)

    code: str
    message: str
    stage: Stage

    @classmethod
    def of(cls, error: RegionCapError, stage: Stage) -> Problem:
        """The problem that an error describes, with its remedy."""
        return cls(code=error.code, message=str(error), stage=stage)


class InputRecord(BaseModel):
    """One input line."""

    schema_version: FormatVersion = SCHEMA_VERSION
    #: Place among the records, from 0; blank lines are none.
    index: int
    #: Line in the file, from 1.
    line: int
    #: The user's own name for the record.
    id: str | int | None = None
    #: As in the input.
    image: str | None = None
    #: Where workers find the picture: an s3:// URI.
    source: str | None = None
    #: As in the input; None asks for proposals, and an empty list is a picture without regions.
    bbox: list[Any] | None = None
    #: How these boxes are meant, where the input says it; None is the job's setting.
    box_format: BoxFormat | None = None
    #: Width and height that the input declares, pixels.
    declared_wh: tuple[int, int] | None = None
    #: All other fields, unchanged.
    meta: dict[str, Any] = Field(default_factory=dict)
    error: Problem | None = None
    #: The picture itself, or its file, where the input names it otherwise than by `image`; such
    #: files are the reader's own and may lie anywhere. Never stored.
    picture: bytes | Path | None = Field(default=None, exclude=True, repr=False)
    #: The field that boxes were read from, where it is none of the usual. Never stored.
    boxes_from: str = Field(default="", exclude=True)
    #: Whether it is part of a data set with boxes, where a picture without has no regions. Never
    #: stored.
    annotated: bool = Field(default=False, exclude=True)
    #: By which rule the picture was found; see `regioncap.inputs.locate`. Never stored.
    found_by: str = Field(default="", exclude=True)

    def held_bytes(self) -> int:
        """How much memory its picture takes."""
        return len(self.picture) if isinstance(self.picture, bytes) else 0


class Region(BaseModel):
    """One box of a record, numbered from 1 in the order given."""

    region: int
    #: The box used, clipped, as results say it: [x, y, w, h] in pixels of the oriented image; None
    #: if it is no box.
    bbox: tuple[int | float, int | float, int | float, int | float] | None = None
    #: Name of its mark's colour; empty where it has no mark, or the style no colours.
    colour: str = ""
    #: How it was shown when it was last asked for; None if it never was.
    view: Way | None = None
    status: Status = "missing"
    caption: str | None = None
    #: Why there is no caption; None with status ok.
    why: str | None = None
    #: Further fields, where a schema of regions asked for them and there is a caption.
    attributes: dict[str, Any] | None = None

    @property
    def box_xyxy(self) -> tuple[float, float, float, float]:
        """The box as all computing takes it: left, top, right, bottom.

        Raises:
            ValueError: It has none.
        """
        if self.bbox is None:
            raise ValueError(f"region {self.region} has no box")
        x, y, w, h = self.bbox
        return x, y, x + w, y + h

    @property
    def is_asked_for(self) -> bool:
        """Whether engines are asked for a caption: it has a box, and was not left out."""
        return self.bbox is not None and self.status != "skipped"


@dataclass(frozen=True, slots=True)
class RegionInView:
    """A region as it lies in a picture that an engine sees."""

    #: The number on its tag, from 1.
    number: int
    #: Whole pixels of that picture: left, top, right, bottom.
    box_xyxy: tuple[int, int, int, int]
    #: Name of its mark's colour; empty where it has no mark, or the style no colours.
    colour: str = ""

    @property
    def name(self) -> str:
        """What prompts and answers call it."""
        return f"<region{self.number}>"


@dataclass(frozen=True, slots=True)
class Prompt:
    """What is said to the model around one picture.

    `system` and `before` are the same for every record of a job, so that an engine with a prefix
    cache computes them once; what differs from record to record stands in `after`.
    """

    #: System message; empty for none.
    system: str = ""
    #: User text before the picture.
    before: str = ""
    #: User text after the picture.
    after: str = ""
    #: JSON schema that the answer must follow; None for free text.
    answer_schema: dict[str, Any] | None = None

    @property
    def text(self) -> str:
        """The user's words in one line, as recorded in the results."""
        return " ".join(part for part in (self.before, self.after) if part)


class View(BaseModel):
    """One picture for the engine, with some of a record's regions.

    It is stored with the regions as three lists: `numbers`, `boxes_xyxy` and `colours`.
    """

    #: Key of the picture in the store.
    key: str
    size_wh: tuple[int, int]
    #: The regions shown, in the order in which they are asked for.
    regions: list[RegionInView]
    prompt: Prompt
    #: Name of the style that drew the marks; empty for a crop without marks.
    mark_style: str = ""

    @model_validator(mode="before")
    @classmethod
    def _from_lists(cls, fields: dict[str, Any]) -> dict[str, Any]:
        if "numbers" not in fields:
            return fields
        numbers, boxes = fields["numbers"], fields.get("boxes_xyxy", ())
        shown = zip(numbers, boxes, fields.get("colours") or [""] * len(numbers), strict=True)
        names = ("number", "box_xyxy", "colour")
        return fields | {"regions": [dict(zip(names, region, strict=True)) for region in shown]}

    @model_serializer(mode="wrap")
    def _as_lists(self, fields_of: SerializerFunctionWrapHandler) -> dict[str, Any]:
        stored: dict[str, Any] = {}
        for name, value in fields_of(self).items():
            if name == "regions":
                stored["numbers"] = [region.number for region in self.regions]
                stored["boxes_xyxy"] = [region.box_xyxy for region in self.regions]
                stored["colours"] = [region.colour for region in self.regions]
            else:
                stored[name] = value
        return stored

    @property
    def way(self) -> Way:
        """How the picture shows its regions."""
        return "marks" if self.mark_style else "crop"


class EngineAnswer(BaseModel):
    """What an engine wrote to one request."""

    text: str
    #: Why it ended there: `stop`, or `length` where it was cut off.
    finish_reason: str | None = None
    #: Numbers of the regions that were asked for.
    regions: list[int] = Field(default_factory=list)


class RenderedRecord(InputRecord):
    """A record after the render stage."""

    type: Literal["with_bbox", "without_bbox"] = "with_bbox"
    width: int | None = None
    height: int | None = None
    #: Hash of the source's bytes.
    source_sha256: str | None = None
    normalized_bbox: list[list[float]] | None = None
    regions: list[Region] = Field(default_factory=list)
    views: list[View] = Field(default_factory=list)
    #: The picture without marks, where it is to be captioned as a whole.
    whole: View | None = None
    #: The caption of the picture as a whole.
    image_caption: str | None = None

    @classmethod
    def of(cls, record: InputRecord) -> RenderedRecord:
        """The same record, with nothing rendered yet."""
        return cls(**record.model_dump())

    @property
    def all_views(self) -> list[View]:
        """All pictures that the engine sees."""
        return [*self.views, self.whole] if self.whole else self.views

    def region(self, number: int) -> Region:
        """The region of a number, from 1."""
        return self.regions[number - 1]


def parse_line(
    raw: bytes, *, line: int, index: int, image_key: str = "image", bbox_key: str = "bbox"
) -> InputRecord:
    """Reads one input line.

    Args:
        raw: The line without its line end.
        line: Its number in the file, from 1.
        index: Its number among the records, from 0.
        image_key: Field that names the image.
        bbox_key: Field that holds the boxes.
    """
    record = InputRecord(index=index, line=line)
    if len(raw) > MAX_LINE_BYTES:
        return _bad(record, "line-too-long", f"longer than {MAX_LINE_BYTES:,} bytes")
    try:
        text = raw.decode("utf-8-sig" if index == 0 else "utf-8")
        fields = json.loads(text, parse_constant=str, parse_float=_finite_or_text)
    except UnicodeDecodeError as error:
        return _bad(record, "bad-encoding", f"not UTF-8 at byte {error.start} of the line")
    except RecursionError:
        return _bad(record, "bad-json", "nested too deeply")
    except ValueError as error:
        return _bad(record, "bad-json", f"not JSON: {_said(error)}")
    if not isinstance(fields, dict):
        return _bad(record, "not-an-object", f"a JSON {_json_type(fields)}, not an object")
    return from_fields(record, fields, image_key=image_key, bbox_key=bbox_key)


def from_fields(
    record: InputRecord,
    fields: dict[str, Any],
    *,
    image_key: str = "image",
    bbox_key: str = "bbox",
) -> InputRecord:
    """Fills a record from the fields of a line; those that are none of ours go to meta."""
    if is_deeper(fields, MAX_DEPTH):
        return _bad(record, "bad-json", f"nested deeper than {MAX_DEPTH} (flatten its fields)")
    image = fields.pop(image_key, None)
    bbox = fields.pop(bbox_key, None)
    given_id = fields.pop("id", None)
    record.meta = fields
    if isinstance(given_id, str | int) and not isinstance(given_id, bool):
        record.id = given_id
    elif given_id is not None:
        record.meta["id"] = given_id
    if isinstance(image, list) and len(image) == 1:  # as data sets of conversations have it
        image = image[0]
    if not isinstance(image, str) or not image:
        what, remedy = _no_image(image, image_key, fields)
        return _bad(record, "no-image", f"{what} ({remedy})")
    record.image = image
    bbox = boxes_of(bbox)
    if bbox is not None and not isinstance(bbox, list):
        what = _json_type(bbox)
        return _bad(record, "bad-bbox", f"{bbox_key} is a {what} (give a list of [x, y, w, h])")
    if bbox and len(bbox) > MAX_REGIONS:
        return _bad(record, "too-many-boxes", f"{len(bbox):,} boxes (at most {MAX_REGIONS:,})")
    record.bbox = bbox
    return record


def is_deeper(value: Any, levels: int) -> bool:
    """Whether lists and objects stand in one another more than so many levels deep."""
    layer = [value]
    for _ in range(levels):
        inner = (
            each.values() if isinstance(each, dict) else each if isinstance(each, list) else ()
            for each in layer
        )
        layer = [value for values in inner for value in values if isinstance(value, dict | list)]
        if not layer:
            return False
    return True


def boxes_of(value: Any) -> Any:
    """Boxes as people give them: a list, JSON text of one, or a box by itself."""
    if isinstance(value, str):
        if not value.strip():
            return None  # an empty cell of a table
        with suppress(ValueError, RecursionError):
            value = json.loads(value, parse_constant=str, parse_float=_finite_or_text)
    if isinstance(value, list) and len(value) == 4 and all(map(_is_number, value)):
        return [value]
    return value


def _is_number(value: Any) -> bool:
    return isinstance(value, int | float) and not isinstance(value, bool)


def _said(error: ValueError) -> str:
    """What a JSON parser says, without its line number: a line of ours is the parser's first."""
    if not isinstance(error, json.JSONDecodeError):  # a number of too many digits
        return str(error)
    if error.pos >= len(error.doc.rstrip()):
        return "the line ends too early (write each record on one line)"
    return f"{error.msg} at character {error.pos + 1}"


def _no_image(image: Any, image_key: str, others: dict[str, Any]) -> tuple[str, str]:
    """What is wrong with a record's image, and the remedy."""
    remedy = "give a path or an s3:// URI"
    if image is None:
        alike = next((name for name in IMAGE_ALIKE if isinstance(others.get(name), str)), None)
        return f"no field {image_key}", f"rename {alike} to {image_key}" if alike else remedy
    return f"{image_key} is {'empty' if image == '' else f'a {_json_type(image)}'}", remedy


#: What other tools call the image.
IMAGE_ALIKE = ("img", "image_path", "path", "file", "file_name", "filename", "image_file", "url")


def _bad(record: InputRecord, code: str, message: str) -> InputRecord:
    record.error = Problem(code=code, message=message, stage="submit")
    return record


def _finite_or_text(text: str) -> float | str:
    # 1e999 reads as infinity, which is no JSON any more when written again.
    value = float(text)
    return value if math.isfinite(value) else text


_JSON_TYPES = {
    dict: "object",
    list: "list",
    str: "string",
    bool: "boolean",
    int: "number",
    float: "number",
    type(None): "null",
}


def _json_type(value: object) -> str:
    return _JSON_TYPES.get(type(value), type(value).__name__)


M = TypeVar("M", bound=BaseModel)


def dump_lines(records: Iterable[BaseModel | dict[str, Any]]) -> bytes:
    """JSON Lines of records, in UTF-8."""
    return b"".join(dump_json(record) + b"\n" for record in records)


def dump_json(value: Any) -> bytes:
    """JSON of a value, in one line of UTF-8.

    A lone surrogate, which is legal in JSON and has no form in UTF-8, becomes a question mark.
    """
    fields = value.model_dump(mode="json") if isinstance(value, BaseModel) else value
    return json.dumps(fields, ensure_ascii=False, allow_nan=False).encode("utf-8", "replace")


def load_lines(model: type[M], data: bytes) -> list[M]:
    """Reads what `dump_lines` wrote."""
    return [model.model_validate_json(line) for line in data.split(b"\n") if line]
