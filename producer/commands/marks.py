"""`regioncap marks`: one picture with its marks, to look at."""

from __future__ import annotations

import json
import sys
from pathlib import Path
from typing import TYPE_CHECKING, Annotated, Any

import typer

from producer.context import emit, say, settings_of
from producer.options import ImageRoot, setting_options
from regioncap.files import check_output, whole_file

if TYPE_CHECKING:
    from PIL import Image

    from regioncap.inputs.source import Source
    from regioncap.records import InputRecord
    from regioncap.settings import Settings

_GAP_PX = 8


@setting_options("region_mode", "max_boxes", "box_format", "prompt", mark_style="--style")
def marks_command(
    context: typer.Context,
    file: Annotated[
        str, typer.Argument(metavar="FILE", help="A picture, or any input that submit takes.")
    ],
    output: Annotated[
        Path, typer.Option("--output", "-o", metavar="PICTURE", help="Picture to write.")
    ],
    boxes: Annotated[
        str | None,
        typer.Option(help="Boxes of the picture: [[x, y, w, h], ...]; proposed ones by default."),
    ] = None,
    record: Annotated[
        int, typer.Option(metavar="LINE", min=1, help="Line, or number, of the record to draw.")
    ] = 1,
    image_root: ImageRoot = None,
    **flags: Any,
) -> None:
    """Draw what an engine would see of one image; several pictures come out side by side."""
    from regioncap.inputs.source import open_source

    settings = settings_of(context, **flags)
    form = _form(output)
    check_output(output)
    with open_source(file, sys.stdin.buffer, image_root, settings) as source:
        given = _chosen(source, record)
        if boxes is not None:
            given = _with_boxes(given, boxes, settings)
        picture, prompts = _draw(settings, given, source)
    _save(picture, output, form)
    for prompt in prompts:
        say(prompt)
    emit(str(output))


def _form(output: Path) -> str:
    """The format of a picture that is to be written, as Pillow names it."""
    from PIL import Image

    from regioncap.errors import UsageError

    form = Image.registered_extensions().get(output.suffix.lower(), "")
    if form not in Image.SAVE:
        raise UsageError(
            f"{output} names no format of pictures that can be written by its ending",
            code="bad-output",
            hint="name a .png or a .jpg with -o",
        )
    return form


def _save(picture: Image.Image, output: Path, form: str) -> None:
    from regioncap.errors import UsageError

    try:
        with whole_file(output) as file:
            picture.save(file, form)
    except ValueError as error:  # there are formats for some sizes and colours alone
        raise UsageError(f"{output} cannot be written: {error}", code="bad-output") from error


def _chosen(source: Source, line: int) -> InputRecord:
    for record in source.records:
        if record.line == line:
            return record
    raise typer.BadParameter(f"{source.name} has no record in line {line}", param_hint="--record")


def _with_boxes(record: InputRecord, boxes: str, settings: Settings) -> InputRecord:
    """The picture of a record with boxes that were typed."""
    from regioncap.inputs.boxes import settle
    from regioncap.inputs.lines import parse_line

    try:
        fields = {"image": record.image or "", "bbox": json.loads(boxes)}
    except ValueError as error:
        raise typer.BadParameter(f"not JSON: {error}", param_hint="--boxes") from None
    typed = parse_line(json.dumps(fields).encode(), line=record.line, index=record.index)
    typed.picture = record.picture
    return settle(typed, settings)


def _draw(settings: Settings, record: InputRecord, source: Source) -> tuple[Image.Image, list[str]]:
    """The pictures of a record in one, and their prompts."""
    from regioncap.errors import RecordError
    from regioncap.inputs.locate import Locator
    from regioncap.jobs.submit import template_text
    from regioncap.views.prompts import template_of
    from regioncap.views.render import render_record
    from regioncap.views.view import Limits, ViewSettings

    if record.error is not None:
        raise RecordError(record.error.message, code=record.error.code)
    place = Locator(settings, source.root, source.image_root).find(record)
    data = _bring(settings, record, place) if isinstance(place, str) else place.read()
    template = template_of(settings.prompt, template_text(settings.prompt))
    how = ViewSettings("preview", settings.job_settings(), template, Limits.of(settings))
    rendered, pictures = render_record(record, data, how)
    if rendered.error is not None:
        raise RecordError(rendered.error.message, code=rendered.error.code)
    for region in rendered.regions:
        if region.why:
            say(f"region {region.region}: {region.status}: {region.why}")
    if not pictures:
        raise RecordError("the record has no regions to show", code="no-regions")
    return _side_by_side([jpeg for _, jpeg in pictures]), [
        f"{', '.join(str(region.number) for region in view.regions)}: {view.prompt.text}"
        for view in rendered.views
    ]


def _bring(settings: Settings, record: InputRecord, place: str) -> bytes:
    """A picture that lies in a store."""
    from regioncap.inputs.originals import Originals
    from regioncap.services.store import Store

    record.source = place
    return Originals(Store(settings, attempts=1), settings).fetch(place)


def _side_by_side(jpegs: list[bytes]) -> Image.Image:
    import io

    from PIL import Image

    pictures = [Image.open(io.BytesIO(jpeg)).convert("RGB") for jpeg in jpegs]
    width = sum(picture.width for picture in pictures) + _GAP_PX * (len(pictures) - 1)
    sheet = Image.new("RGB", (width, max(picture.height for picture in pictures)), "white")
    left = 0
    for picture in pictures:
        sheet.paste(picture, (left, 0))
        left += picture.width + _GAP_PX
    return sheet
