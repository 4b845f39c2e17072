"""`regioncap export` and `regioncap import-edits`."""

from __future__ import annotations

from collections import Counter
from collections.abc import Iterable, Iterator
from pathlib import Path
from typing import TYPE_CHECKING, Annotated

import typer

from producer.context import client_of, emit, say
from producer.meter import progress
from producer.options import JobArgument

if TYPE_CHECKING:
    from regioncap.outputs.exports.base import Item


def export_command(
    context: typer.Context,
    job_id: JobArgument,
    output: Annotated[Path, typer.Option("--output", "-o", help="File or folder to write.")],
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
    from regioncap.inputs.originals import Originals
    from regioncap.outputs import exports
    from regioncap.outputs.exports.base import About
    from regioncap.outputs.exports.items import only_verified, read_items

    client = client_of(context)
    chosen = exports.get(format_ or exports.name_for(output), bom=bom)
    job = client.load(job_id)
    original = Originals(client.store, client.settings).fetch
    about = About(job=job.job, title=job.name or f"Job {job.job}", created=job.created)
    found: Counter[str] = Counter()
    with progress() as bar:
        items = read_items(client.store, job, original, chosen.pictures)
        if verified:
            items = only_verified(items)
        shown = bar.track(items, total=job.records, description="records")
        exports.export(chosen, _counted(shown, found), output, about)
    say(f"{found.total():,} of {job.records:,} records, {found['failed']:,} failed")
    if found.total() < job.records:
        say(f"the job is not finished; watch it: regioncap watch {job.job}")
    emit(str(output))


def _counted(items: Iterable[Item], found: Counter[str]) -> Iterator[Item]:
    for item in items:
        found["failed" if item.record["error"] is not None else "ok"] += 1
        yield item


def import_edits_command(
    context: typer.Context,
    job_id: JobArgument,
    file: Annotated[
        Path, typer.Argument(help="Label Studio's JSON export, or edited results as JSON Lines.")
    ],
    by: Annotated[str | None, typer.Option(help="Who edited, where the file does not say.")] = None,
) -> None:
    """Bring corrected captions back as a new version of the results; the old one is kept."""
    from regioncap.outputs import versions
    from regioncap.outputs.edits import read_edits
    from regioncap.services.progress import Progress

    client = client_of(context)
    job = client.load(job_id)
    edits = read_edits(file, job.job, by=by)
    outcome = versions.apply_edits(client.store, Progress(client.redis, job.job), job, edits)
    if outcome.kept_as is None:
        say("every caption is as it was; nothing changed")
        return
    say(
        f"{outcome.captions:,} captions of {outcome.records:,} records corrected; "
        f"what they were is kept: {outcome.kept_as}"
    )
