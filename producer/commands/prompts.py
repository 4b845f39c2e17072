"""`regioncap prompts`: the templates that there are, and what they say."""

from __future__ import annotations

import json as json_module
from typing import TYPE_CHECKING, Annotated, get_args

import typer

from producer.context import emit

if TYPE_CHECKING:
    from regioncap.views.prompts import Template

prompts = typer.Typer(help="Show the prompt templates.", no_args_is_help=True)


@prompts.command("list")
def list_command(
    json: Annotated[bool, typer.Option("--json", help="JSON, one object a template.")] = False,
) -> None:
    """List the templates that come with RegionCap."""
    from regioncap.views.prompts import BUILT_IN, DEFAULT, built_in

    for name in BUILT_IN:
        template = built_in(name)
        if json:
            emit(template.model_dump_json(include={"name", "description", "answer", "language"}))
        else:
            default = " (default)" if name == DEFAULT else ""
            emit(f"{name + default:22} {template.answer:5} {template.description}")


@prompts.command("show")
def show_command(
    name: Annotated[str, typer.Argument(help="A template's name, or a TOML file of your own.")],
    count: Annotated[int, typer.Option(min=1, max=100, help="Regions in the example.")] = 3,
    json: Annotated[bool, typer.Option("--json", help="The template as one JSON object.")] = False,
) -> None:
    """Check a template and show what it says of a picture with a few regions."""
    from regioncap.jobs.submit import template_text
    from regioncap.views.prompts import template_of

    template = template_of(name, template_text(name))
    if json:
        from regioncap.records import SCHEMA_VERSION

        about = {"schema_version": SCHEMA_VERSION, "version": template.version}
        emit(json_module.dumps(about | template.model_dump()))
        return
    emit(f"{template.version}: {template.description}")
    emit(f"answers as {template.answer}" + (f", in {template.language}" * bool(template.language)))
    for line in _examples(template, count):
        emit(line)


def _examples(template: Template, count: int) -> list[str]:
    """The words for each ask, filled in for marks as the default style would draw them."""
    from regioncap.records import RegionInView
    from regioncap.views import marks
    from regioncap.views.prompts import Ask, build

    size_wh = (1148, 868)
    boxes = [(10 * i, 10 * i, 10 * i + 200, 10 * i + 150) for i in range(count)]
    drawn = marks.get(marks.DEFAULT).layout(size_wh, boxes, range(1, count + 1))
    labels = [RegionInView(mark.number, mark.box_xyxy, mark.colour) for mark in drawn]
    asks: tuple[Ask, ...] = get_args(Ask)
    lines, seen = [], set()
    for ask in asks:
        shown = {"regions": labels, "image": []}.get(ask, labels[-1:])
        prompt = build(template, shown, ask=ask, size_wh=size_wh)
        lines += ["", f"[{ask}]"]
        for part, text in _parts(prompt.system, prompt.before, prompt.after):
            lines.append(f"  {part:7} {'(as above)' if part and (part, text) in seen else text}")
            seen.add((part, text))
    return lines


def _parts(system: str, before: str, after: str) -> list[tuple[str, str]]:
    """What is said in order, each with the name of its part; later lines are indented alike."""
    said = [("system", system), ("before", before), ("", "[picture]"), ("after", after)]
    return [(name, text.replace("\n", "\n" + " " * 10)) for name, text in said if text]
