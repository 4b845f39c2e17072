"""`regioncap view`."""

from __future__ import annotations

from pathlib import Path
from typing import Annotated

import typer

from producer.context import Services, emit, say, talk


def register(app: typer.Typer) -> None:
    """Adds the command."""
    app.command("view")(view_command)


def view_command(
    context: typer.Context,
    job_id: Annotated[str, typer.Argument(metavar="JOB", help="The job.")],
    output: Annotated[Path, typer.Option("--output", "-o", help="The page to write.")] = Path(
        "gallery.html"
    ),
    embed: Annotated[
        bool, typer.Option("--embed", help="Put the pictures into the page itself.")
    ] = False,
    open_: Annotated[bool, typer.Option("--open", help="Show it in the browser.")] = False,
) -> None:
    """Make a page to look at the results: pictures, boxes and captions."""
    count, records = write_page(context.obj, job_id, output, embed=embed)
    say(f"{count:,} of {records:,} records")
    if open_ and typer.launch(output.absolute().as_uri()):
        say("there is no browser to show it in; open the page yourself")
    emit(str(output))


def write_page(
    services: Services, job_id: str, page: Path, *, embed: bool = False
) -> tuple[int, int]:
    """Writes the gallery with a progress bar; returns how many records it has, and the job."""
    from rich.progress import Progress

    from regioncap.jobs import catalogue
    from regioncap.outputs.gallery import write_view

    job = catalogue.load(services.store, job_id)
    with Progress(console=talk, disable=not talk.is_terminal, transient=True) as bar:
        task = bar.add_task("pictures", total=job.records)
        count = write_view(
            services.store, job, page, embed=embed, on_record=lambda: bar.advance(task)
        )
    return count, job.records
