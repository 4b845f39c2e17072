"""`regioncap export` and `regioncap import-edits`."""

from __future__ import annotations

from collections.abc import Iterable, Iterator
from pathlib import Path
from typing import TYPE_CHECKING, Annotated

import typer

from producer.context import client_of, emit, say, talk
from producer.options import JobArgument

if TYPE_CHECKING:
    from regioncap.job import Job
    from regioncap.outputs.exports.base import Item


def export_command(
    context: typer.Context,
    job_id: JobArgument,
    output: Annotated[Path, typer.Option("--output", "-o", help="File or folder to write.")],
    format_: Annotated[
        str,
        typer.Option(
            "--format",
            "-f",
            help="jsonl, csv, coco, parquet, webdataset, hf or labelstudio.",
        ),
    ] = "jsonl",
) -> None:
    """Write the results in a form that other tools read."""
    from regioncap.outputs import exports
    from regioncap.outputs.exports.base import About
    from regioncap.outputs.exports.items import read_items

    client = client_of(context)
    chosen = exports.get(format_)
    job = client.load(job_id)
    items = _Counted(job, read_items(client.store, job, pictures=chosen.takes_pictures))
    about = About(job=job.job, title=job.name or f"Job {job.job}", created=job.created)
    exports.export(chosen, items, output, about)
    say(f"{items.count:,} of {job.records:,} records, {items.failed:,} failed")
    if items.count < job.records:
        say(f"the job is not finished; watch it: regioncap watch {job.job}")
    emit(str(output))


class _Counted:
    """Items with a progress bar and counts."""

    def __init__(self, job: Job, items: Iterable[Item]) -> None:
        self._job = job
        self._items = items
        self.count = self.failed = 0

    def __iter__(self) -> Iterator[Item]:
        from rich.progress import Progress

        with Progress(console=talk, disable=not talk.is_terminal, transient=True) as bar:
            task = bar.add_task("records", total=self._job.records)
            for item in self._items:
                self.count += 1
                self.failed += item.record["error"] is not None
                bar.advance(task)
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
