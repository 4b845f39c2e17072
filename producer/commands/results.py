"""`regioncap results`."""

from __future__ import annotations

import sys
import time
from collections import Counter
from collections.abc import Iterator
from contextlib import nullcontext
from functools import partial
from pathlib import Path
from typing import TYPE_CHECKING, Annotated, Any

import typer

from producer.commands.status import tell_advice
from producer.context import client_of, emit_bytes, job_of, on_terminal, say
from producer.options import JobArgument
from producer.pipes import STDOUT
from producer.tables import show_table
from regioncap.files import make_folder, whole_file
from regioncap.plurals import agree, counted

if TYPE_CHECKING:
    from regioncap.client import Client
    from regioncap.job import Job
    from regioncap.jobs.results import Part

_POLL_S = 1.0
#: Rows that a terminal is given; files and pipes get all.
_ROWS = 30


def results_command(
    context: typer.Context,
    job_id: JobArgument = None,
    output: Annotated[
        Path | None, typer.Option("--output", "-o", help="File to write [stdout].")
    ] = None,
    images: Annotated[
        Path | None, typer.Option(help="Folder for the pictures that the engine saw.")
    ] = None,
    failed: Annotated[bool, typer.Option("--failed", help="Failed records only.")] = False,
    follow: Annotated[
        bool, typer.Option("--follow", "-f", help="Go on until the job ends; in order of arrival.")
    ] = False,
    json: Annotated[
        bool, typer.Option("--json", help="JSON Lines on a terminal too, not a table.")
    ] = False,
) -> None:
    """Bring the results so far: a table on a terminal, else JSON Lines in input order."""
    from regioncap.jobs.advice import of_failures

    client = client_of(context)
    job = job_of(client, job_id)
    if images is not None:  # what cannot be is said before the results are waited for
        make_folder(images)
    code = 0
    if output is None and not json and not follow and on_terminal():
        done, bad = _show(client, job, only_failed=failed)
    else:
        file = None if output == STDOUT else output
        done, bad = fetch_results(client, job, file, only_failed=failed, follow=follow)
    if follow:
        from producer.commands.watch import exit_code

        code = exit_code(client.status_of(job))
    if images is not None:
        fetch_images(client, job, images)
    say(f"{done:,} of {counted(job.records, 'record')}, {bad:,} failed")
    if output not in {None, STDOUT}:
        say(f"written: {output}")
    if done < job.records and not follow:
        tell_advice(client, job)
    elif failed and bad:
        for line in of_failures(client.status_of(job), job)[:-1]:  # the last names this command
            say(line)
    raise typer.Exit(code)


def fetch_results(
    client: Client,
    job: Job,
    output: Path | None,
    *,
    only_failed: bool = False,
    follow: bool = False,
) -> tuple[int, int]:
    """Writes the results; returns how many records there are and how many failed."""
    done = failed = 0
    with nullcontext() if output is None else whole_file(output) as file:
        write, flush = (file.write, file.flush) if file else (emit_bytes, sys.stdout.flush)
        for part in _parts(client, job, follow=follow):
            write(_failed_lines(part) if only_failed else part.data)
            flush()
            counts = part.summary["counts"]
            done, failed = done + counts["records"], failed + counts["failed"]
    return done, failed


def _parts(client: Client, job: Job, *, follow: bool) -> Iterator[Part]:
    from regioncap.jobs.results import follow_parts, read_parts

    def ended() -> bool:
        return client.status_of(job).rests

    if not follow:
        return read_parts(client.store, job)
    return follow_parts(client.store, job, ended=ended, pause=partial(time.sleep, _POLL_S))


def _failed_lines(part: Part) -> bytes:
    lines = [line for line in part.data.split(b"\n") if line]
    pairs = zip(lines, part.lines, strict=True)
    return b"".join(line + b"\n" for line, record in pairs if record["error"] is not None)


def _show(client: Client, job: Job, *, only_failed: bool) -> tuple[int, int]:
    """Shows the first records as a table; returns what was found, as `fetch_results`."""
    from regioncap.jobs import results

    rows: list[tuple[str, ...]] = []
    done = failed = 0
    for record in results.read(client.store, job):
        done, failed = done + 1, failed + (record["error"] is not None)
        if len(rows) <= _ROWS and (record["error"] or not only_failed):
            rows += _rows(record)
    if rows:
        show_table(("LINE", "IMAGE", "REGION", "CAPTION"), rows[:_ROWS])
    if len(rows) > _ROWS:
        say(f"... and more: regioncap results {job.job} -o results.jsonl")
    return done, failed


def _rows(record: dict[str, Any]) -> Iterator[tuple[str, ...]]:
    line, image = str(record["line"]), _tail(record["image"] or "")
    if record["error"]:
        yield line, image, "-", f"{record['error']['code']}: {record['error']['message']}"
        return
    for region in record["regions"]:
        text = region["caption"] or f"{region['status']}: {region['why']}"
        yield line, image, str(region["region"]), text
        line = image = ""


def _tail(text: str, longest: int = 32) -> str:
    return text if len(text) <= longest else "…" + text[1 - longest :]


def _draw_images(client: Client, job: Job, folder: Path) -> int:
    """Draws the pictures again that are not kept; returns how many."""
    from regioncap.inputs.originals import Originals
    from regioncap.jobs import results
    from regioncap.jobs.marked import Redrawn
    from regioncap.parallel import map_ahead
    from regioncap.views.view import Limits

    originals = Originals(client.store, client.settings)
    redrawn = Redrawn(client.store, job, Limits.of(client.settings), originals.fetch)
    done = (given for given, _ in results.read_with_inputs(client.store, job))
    count = 0
    for pictures in map_ahead(redrawn.pictures, done):
        for key, jpeg in pictures:
            count += 1
            with whole_file(folder / Path(key).name) as file:
                file.write(jpeg)
    return count


def fetch_images(client: Client, job: Job, folder: Path) -> int:
    """Brings the pictures that the engine saw in the results so far; returns how many."""
    from regioncap.errors import NotFoundError
    from regioncap.jobs import results
    from regioncap.parallel import map_ahead

    make_folder(folder)

    def bring(uri: str) -> bool:
        try:
            data = client.store.get_uri(uri)
        except NotFoundError:
            return False
        with whole_file(folder / Path(uri).name) as file:
            file.write(data)
        return True

    if not job.settings.keep_marked:
        return _draw_images(client, job, folder)
    uris = (uri for record in results.read(client.store, job) for uri in record["pictures"])
    brought = Counter(map_ahead(bring, uris))
    if gone := brought[False]:
        are = agree(gone, "is", "are")
        say(f"{counted(gone, 'marked picture')} {are} not in the store any more")
    return brought[True]
