"""`regioncap export` and `regioncap import-edits`."""

from __future__ import annotations

import tempfile
from collections.abc import Iterator
from contextlib import contextmanager
from functools import partial
from pathlib import Path
from typing import Annotated

import typer

from producer.commands.status import tell_advice
from producer.context import client_of, emit_bytes, job_of, say
from producer.meter import progress
from producer.options import ChangedJob, JobArgument
from producer.pipes import STDOUT
from regioncap.plurals import agree, counted

_PIECE_BYTES = 1 << 20


def export_command(
    context: typer.Context,
    output: Annotated[
        Path, typer.Option("--output", "-o", help="File or folder to write, or - for stdout.")
    ],
    job_id: JobArgument = None,
    format_: Annotated[
        str | None,
        typer.Option(
            "--format",
            "-f",
            help="jsonl, csv, coco, parquet, webdataset, hf, labelstudio or sidecars; by default"
            " what the ending of the file means.",
        ),
    ] = None,
    bom: Annotated[
        bool, typer.Option("--bom", help="Begin CSV with a byte order mark, for Excel.")
    ] = False,
    verified: Annotated[
        bool,
        typer.Option("--verified", help="Only captions that verification found true."),
    ] = False,
) -> None:
    """Write the results in a form that other tools read."""
    client = client_of(context)
    job = job_of(client, job_id)
    with _written(output, format_) as path, progress() as bar:
        task = bar.add_task("records", total=job.records)
        done = client.export(
            job, path, format=format_, bom=bom, verified=verified,
            on_record=lambda: bar.advance(task),
        )  # fmt: skip
    say(f"{done.records:,} of {counted(done.of, 'record')}, {done.failed:,} failed")
    if done.records < done.of and not verified:
        tell_advice(client, job)
    if output != STDOUT:
        say(f"written: {output}")


@contextmanager
def _written(output: Path, format_: str | None) -> Iterator[Path]:
    """The path to write to; what lies there in the end goes to stdout, if that is meant.

    Formats write files: some need to go back in them.
    """
    from regioncap.errors import UsageError
    from regioncap.outputs import exports

    if output != STDOUT:
        yield output
        return
    if exports.get(format_ or exports.name_for(output)).makes_folder:
        raise UsageError(
            f"{format_} is a folder of files, which stdout cannot take",
            code="bad-output",
            hint="name a new folder with -o",
        )
    with tempfile.TemporaryDirectory(prefix="regioncap-") as folder:
        yield Path(folder) / "export"
        with (Path(folder) / "export").open("rb") as file:
            # Most are lines; the one line of COCO may be larger than memory.
            for piece in iter(partial(file.readline, _PIECE_BYTES), b""):
                emit_bytes(piece)


def import_edits_command(
    context: typer.Context,
    job_id: ChangedJob,
    file: Annotated[
        Path, typer.Argument(help="Label Studio's JSON export, or edited results as JSON Lines.")
    ],
    by: Annotated[str | None, typer.Option(help="Who edited, where the file does not say.")] = None,
) -> None:
    """Bring corrected captions back as a new version of the results; the old one is kept."""
    client = client_of(context)
    outcome = client.import_edits(job_of(client, job_id, to_change=True), file, by=by)
    if outcome.outdated:
        was = agree(outcome.outdated, "it is as it once was", "they are as they once were")
        say(
            f"{counted(outcome.outdated, 'caption')} left out: {was}, and changed by others since"
            " the file was written; to take it back, edit a file that is exported now"
        )
    if outcome.kept_as is None:
        say("every caption is as it was; nothing changed")
        return
    say(
        f"{counted(outcome.captions, 'caption')} of {counted(outcome.records, 'record')} corrected;"
        f" what {agree(outcome.captions, 'it was', 'they were')} is kept: {outcome.kept_as}"
    )
