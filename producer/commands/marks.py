"""`regioncap marks`: one picture with its marks, to look at."""

from __future__ import annotations

import json
from pathlib import Path
from typing import TYPE_CHECKING, Annotated, Any

import typer

from producer.context import emit, say, settings_of
from producer.options import setting_options
from regioncap.files import open_input

if TYPE_CHECKING:
    from PIL import Image

    from regioncap.records import InputRecord
    from regioncap.settings import Settings

_GAP_PX = 8


@setting_options("region_mode", "max_boxes", "box_format", mark_style="--style")
def marks_command(
    context: typer.Context,
    file: Annotated[Path, typer.Argument(help="An image, or JSON Lines with --record.")],
    output: Annotated[Path, typer.Option("--output", "-o", help="Picture to write.")],
    boxes: Annotated[
        str | None, typer.Option(help="JSON: [[x, y, w, h], ...]; proposed ones by default.")
    ] = None,
    record: Annotated[
        int | None, typer.Option(min=1, help="Line of FILE whose image is to be drawn.")
    ] = None,
    **flags: Any,
) -> None:
    """Draw what an engine would see of one image; several pictures come out side by side."""
    from regioncap.inputs.boxes import settle

    settings = settings_of(context, **flags)
    given = _record_of_line(file, record) if record else _record_of_image(file, boxes)
    given = settle(given, settings)
    picture, prompts = _draw(settings, given, file.parent)
    picture.save(output)
    for prompt in prompts:
        say(prompt)
    emit(str(output))


def _record_of_image(file: Path, boxes: str | None) -> InputRecord:
    from regioncap.inputs.lines import parse_line

    fields: dict[str, Any] = {"image": file.name}
    if boxes is not None:
        try:
            fields["bbox"] = json.loads(boxes)
        except ValueError as error:
            raise typer.BadParameter(f"not JSON: {error}", param_hint="--boxes") from None
    return parse_line(json.dumps(fields).encode(), line=1, index=0)


def _record_of_line(file: Path, line: int) -> InputRecord:
    from regioncap.inputs.lines import read_lines

    with open_input(file) as stream:
        for record in read_lines(stream):
            if record.line == line:
                return record
    raise typer.BadParameter(f"{file} has no record in line {line}", param_hint="--record")


def _draw(settings: Settings, record: InputRecord, root: Path) -> tuple[Image.Image, list[str]]:
    """The pictures of a record in one, and their prompts."""
    from regioncap.errors import RecordError
    from regioncap.inputs.locate import Locator
    from regioncap.jobs.submit import template_text
    from regioncap.views.prompts import template_of
    from regioncap.views.render import render_record
    from regioncap.views.view import Limits, ViewSettings

    if record.error is not None:
        raise RecordError(record.error.message, code=record.error.code)
    place = Locator(settings, root).find(record)
    if isinstance(place, str):
        raise RecordError(f"{place} lies in a store", code="image-remote", hint="bring it here")
    template = template_of(settings.prompt, template_text(settings.prompt))
    how = ViewSettings("preview", settings.job_settings(), template, Limits.of(settings))
    rendered, pictures = render_record(record, place.read(), how)
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
