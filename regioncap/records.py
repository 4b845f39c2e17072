"""Records: one line of the input, on its way to one line of the output.

    InputRecord      as submitted: what the line said, or what is wrong with it
    RenderedRecord   pictures drawn and prompts made: all that the caption stage needs
    results          plain dicts in the output's form, see `output_record`

A line that cannot be used is a record too, with its `error`, and comes out as an error record in
its place.
"""

from __future__ import annotations

import json
from collections.abc import Iterable
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
from pydantic_core import to_jsonable_python

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
#:     4   a job may have a limit of GPU time, and may not keep its marked pictures
SCHEMA_VERSION = 4


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
    #: Whether the engine, asked back, finds the caption true of this region; None if it was not
    #: asked, or did not say.
    verified: bool | None = None
    #: The region that it finds it true of; None for none.
    verified_as: int | None = None

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
    def _from_lists(cls, fields: Any) -> Any:
        if not isinstance(fields, dict) or "numbers" not in fields:
            return fields
        numbers, boxes = fields["numbers"], fields.get("boxes_xyxy", ())
        names = ("number", "box_xyxy", "colour")
        try:
            shown = zip(numbers, boxes, fields.get("colours") or [""] * len(numbers), strict=True)
            regions = [dict(zip(names, region, strict=True)) for region in shown]
        except TypeError:  # which pydantic takes for a fault of ours
            raise ValueError("numbers, boxes_xyxy and colours are no lists") from None
        return fields | {"regions": regions}

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


M = TypeVar("M", bound=BaseModel)


def dump_lines(records: Iterable[BaseModel | dict[str, Any]]) -> bytes:
    """JSON Lines of records, in UTF-8."""
    return b"".join(dump_json(record) + b"\n" for record in records)


def dump_json(value: Any, indent: int | None = None) -> bytes:
    """JSON of a value in UTF-8, in one line or indented.

    A lone surrogate, which is legal in JSON and has no form in UTF-8, becomes a question mark.
    """
    # Its own JSON refuses a lone surrogate in a key.
    fields = value.model_dump() if isinstance(value, BaseModel) else value
    return json.dumps(
        fields, ensure_ascii=False, allow_nan=False, default=to_jsonable_python, indent=indent
    ).encode("utf-8", "replace")


def load_lines(model: type[M], data: bytes) -> list[M]:
    """Reads what `dump_lines` wrote."""
    return [model.model_validate_json(line) for line in data.split(b"\n") if line]
