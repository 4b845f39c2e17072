"""`regioncap view`."""

from __future__ import annotations

from pathlib import Path
from typing import TYPE_CHECKING, Annotated

import typer

from producer.context import client_of, emit, say
from producer.meter import progress
from producer.options import JobArgument

if TYPE_CHECKING:
    from regioncap.client import Client


def view_command(
    context: typer.Context,
    job_id: JobArgument,
    output: Annotated[Path, typer.Option("--output", "-o", help="The page to write.")] = Path(
        "gallery.html"
    ),
    embed: Annotated[
        bool, typer.Option("--embed", help="Put the pictures into the page itself.")
    ] = False,
    open_: Annotated[bool, typer.Option("--open", help="Show it in the browser.")] = False,
) -> None:
    """Make a page to look at the results: pictures, boxes and captions."""
    count, records = write_page(client_of(context), job_id, output, embed=embed)
    say(f"{count:,} of {records:,} records")
    if open_ and typer.launch(output.absolute().as_uri()):
        say("there is no browser to show it in; open the page yourself")
    emit(str(output))


def write_page(client: Client, job_id: str, page: Path, *, embed: bool = False) -> tuple[int, int]:
    """Writes the gallery with a progress bar; returns how many records it has, and the job."""
    from regioncap.inputs.originals import Originals
    from regioncap.outputs.gallery import write_view

    job = client.load(job_id)
    with progress() as bar:
        task = bar.add_task("pictures", total=job.records)
        original = Originals(client.store, client.settings).fetch
        count = write_view(
            client.store, job, page, original, embed=embed, on_record=lambda: bar.advance(task)
        )
    return count, job.records
