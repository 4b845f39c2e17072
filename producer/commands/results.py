"""`regioncap results`."""

from __future__ import annotations

import sys
from pathlib import Path
from typing import TYPE_CHECKING, Annotated

import typer

from producer.context import Services, say

if TYPE_CHECKING:
    from regioncap.jobs import Job


def register(app: typer.Typer) -> None:
    """Adds the command."""
    app.command("results")(results_command)


def results_command(
    context: typer.Context,
    job_id: Annotated[str, typer.Argument(metavar="JOB", help="The job.")],
    output: Annotated[
        Path | None, typer.Option("--output", "-o", help="File to write [stdout].")
    ] = None,
    images: Annotated[
        Path | None, typer.Option(help="Folder for the pictures that the engine saw.")
    ] = None,
) -> None:
    """Bring the results so far, in input order, as JSON Lines."""
    from regioncap import jobs

    services: Services = context.obj
    job = jobs.load(services.store, job_id)
    done, failed = fetch_results(services, job, output)
    if images is not None:
        fetch_images(services, job, images)
    say(f"{done:,} of {job.records:,} records, {failed:,} failed")
    if done < job.records:
        say(f"the job is not finished; watch it: regioncap watch {job.job}")


def fetch_results(services: Services, job: Job, output: Path | None) -> tuple[int, int]:
    """Writes the results; returns how many records there are and how many failed."""
    from regioncap.results import read_parts, summarize

    done = failed = 0
    temporary = output.with_name(output.name + ".part") if output else None
    stream = temporary.open("wb") if temporary else sys.stdout.buffer
    try:
        for _, part in read_parts(services.store, job):
            stream.write(part)
            counts = summarize(part)["counts"]
            done, failed = done + counts["records"], failed + counts["failed"]
    finally:
        if temporary:
            stream.close()
    if temporary and output:
        temporary.replace(output)
    return done, failed


def fetch_images(services: Services, job: Job, folder: Path) -> int:
    """Brings the pictures that the engine saw in the results so far; returns how many."""
    from concurrent.futures import ThreadPoolExecutor

    from regioncap.results import parse_part, read_parts
    from regioncap.store import parse_s3_uri

    folder.mkdir(parents=True, exist_ok=True)

    def bring(uri: str) -> None:
        key = parse_s3_uri(uri)[1]
        (folder / Path(key).name).write_bytes(services.store.get(key))

    count = 0
    with ThreadPoolExecutor(8) as pool:
        for _, part in read_parts(services.store, job):
            uris = [uri for record in parse_part(part) for uri in record["pictures"]]
            count += sum(1 for _ in pool.map(bring, uris))
    return count
