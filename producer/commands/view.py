"""`regioncap view`."""

from __future__ import annotations

from pathlib import Path
from typing import TYPE_CHECKING, Annotated

import typer

from producer.commands.status import tell_advice
from producer.context import client_of, emit, job_of, say
from producer.meter import progress
from producer.options import JobArgument
from regioncap.plurals import counted

if TYPE_CHECKING:
    from regioncap.client import Client
    from regioncap.job import Job
    from regioncap.outputs.gallery import Viewed


def view_command(
    context: typer.Context,
    job_id: JobArgument = None,
    output: Annotated[
        Path | None,
        typer.Option("--output", "-o", help="The page to write [gallery-JOB.html]."),
    ] = None,
    embed: Annotated[
        bool, typer.Option("--embed", help="Put the pictures into the page itself.")
    ] = False,
    open_: Annotated[bool, typer.Option("--open", help="Show it in the browser.")] = False,
) -> None:
    """Make a page to look at the results: pictures, boxes and captions."""
    client = client_of(context)
    job = job_of(client, job_id)
    done = write_page(client, job, output, embed=embed)
    say(f"{done.records:,} of {counted(done.of, 'record')}")
    if done.records < done.of:
        tell_advice(client, job)
    if open_ and typer.launch(done.path.absolute().as_uri()):
        say("there is no browser to show it in; open the page yourself")
    emit(str(done.path))


def write_page(
    client: Client, job: Job, page: Path | None, *, embed: bool = False, replace: bool = False
) -> Viewed:
    """Writes the gallery with a progress bar."""
    with progress() as bar:
        task = bar.add_task("pictures", total=job.records)
        return client.view(
            job, page, embed=embed, replace=replace, on_record=lambda: bar.advance(task)
        )
