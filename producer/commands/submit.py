"""`regioncap submit`."""

from __future__ import annotations

from pathlib import Path
from typing import TYPE_CHECKING, Annotated, Any

import typer

from producer import words
from producer.commands.status import tell_advice, tell_of_missing_workers
from producer.context import client_of, emit, job_of, say, settings_of
from producer.meter import meter
from producer.options import JOB_SETTINGS, ImageRoot, refuse_given, setting_options
from regioncap.plurals import counted

if TYPE_CHECKING:
    from regioncap.client import Client
    from regioncap.inputs.report import Report
    from regioncap.inputs.source import Target
    from regioncap.job import Job
    from regioncap.jobs.submit import Tally
    from regioncap.settings import Settings


@setting_options(
    *(name for name in JOB_SETTINGS if name not in {"region_schema", "keep_marked"}),
    "model",
    region_schema="--schema",
    keep_marked=" /--no-keep-marked",
)
def submit_command(
    context: typer.Context,
    files: Annotated[
        list[str] | None,
        typer.Argument(
            metavar="FILE",
            help="JSON Lines with `image` and `bbox`, pictures, folders, data sets of other tools,"
            " or -; also s3:// and hf:. Pictures together are one job, all else is a job each.",
        ),
    ] = None,
    image_root: ImageRoot = None,
    name: Annotated[str, typer.Option(help="A name for the job.")] = "",
    label: Annotated[
        list[str] | None, typer.Option(help="A label, as key=value; may be repeated.")
    ] = None,
    key: Annotated[
        str,
        typer.Option(
            help="Submit once: the same again under the same key is the same job, for scripts."
        ),
    ] = "",
    wait: Annotated[bool, typer.Option("--wait", help="Watch until it is done.")] = False,
    dry_run: Annotated[
        bool, typer.Option("--dry-run", help="Check and count; needs no services, sends nothing.")
    ] = False,
    force: Annotated[
        bool,
        typer.Option(
            "--force", help="Submit also where most records have one and the same problem."
        ),
    ] = False,
    resume: Annotated[
        str | None, typer.Option(metavar="JOB", help="Queue what is missing of a job.")
    ] = None,
    **flags: Any,
) -> None:
    """Submit a job: upload its images, queue its work, print its id."""
    if bool(files) == (resume is not None):
        raise typer.BadParameter("give either FILE... or --resume JOB")
    if resume is not None:
        own = {"name", "label", "key", "image_root", "dry_run", "force"}
        why = "it goes with a FILE: --resume queues what is missing of a job"
        refuse_given(context, {"max_gpu_seconds"}, f"{why}; that is `regioncap resume`")
        refuse_given(context, own | flags.keys(), why)
        client = client_of(context)
        job = _resume(client, resume)
        emit(job.job)
        raise typer.Exit(_tell_of(client, [job], wait=wait))
    from regioncap.inputs.source import grouped

    targets = grouped(files or [])
    if len(targets) > 1 and (name or key):
        raise typer.BadParameter(
            f"these are {len(targets)} inputs, each a job of its own; submit them one by one",
            param_hint="--name" if name else "--key",
        )
    labels = _labels(label or [])
    if dry_run:
        settings = settings_of(context, **flags)
        codes = [_dry_run(settings, each, image_root, force=force) for each in targets]
        raise typer.Exit(max(codes))
    client = client_of(context, **flags)
    options = {"image_root": image_root, "labels": labels, "force": force}
    jobs = []
    for target in targets:
        jobs.append(submit_file(client, target, name=name, key=key, **options))
        emit(jobs[-1].job)
    raise typer.Exit(_tell_of(client, jobs, wait=wait))


def _tell_of(client: Client, jobs: list[Job], *, wait: bool) -> int:
    """Watches jobs that were submitted, or says how; returns the exit code."""
    from producer.commands.watch import watch_job

    if wait:
        return max(watch_job(client, job) for job in jobs)
    for job in jobs:
        status = client.status_of(job)
        if not status.rests:
            tell_of_missing_workers(client, job, status)
            say(f"watch it: regioncap watch {job.job}")
    return 0


def submit_file(client: Client, file: Target | Path, **options: Any) -> Job:
    """Submits as `Client.submit`, with progress bars and messages.

    Args:
        client: The services.
        file: The input.
        options: Fields of `Submission`.
    """
    from regioncap.jobs.submission import Submission

    try:
        with meter("uploading", "images") as bar:
            sent = client.upload(
                Submission(file, **options),
                on_ready=lambda: _tell_of_queue(client),
                on_progress=lambda tally, fraction: bar.show(
                    fraction,
                    tally.uploaded + tally.known,
                    f"{words.size(tally.uploaded_bytes)} sent, {tally.known:,} there already",
                ),
            )
    except KeyboardInterrupt:
        say("nothing was submitted; run it again: what is uploaded is not sent again")
        raise
    if sent.tally.job_was_there:
        _go_on(client, sent.job)
    else:
        _tell(sent.tally, sent.report)
        client.queue(sent.job)
    return sent.job


def _go_on(client: Client, job: Job) -> None:
    """Says how far the job is that was there already, and queues what it lacks."""
    from producer.commands.status import summary_line

    say(f"it is there already, under the key {job.key!r}; nothing is submitted anew")
    found = client.reconcile(job)
    if sent := len(found.render) + len(found.caption):
        say(f"{counted(sent, 'shard')} of {job.shards:,} queued that were missing")
    status = client.status_of(job)
    say(summary_line(status))
    if found.state in {"cancelled", "paused"}:
        tell_advice(client, job, status)


def _tell_of_queue(client: Client) -> None:
    from regioncap.errors import QueueError
    from regioncap.services.broker import await_loaded, check_server

    await_loaded(client.redis, lambda: say("Redis is reading its data back; waiting for it"))
    try:
        check_server(client.redis)
    except QueueError as error:
        say(f"{error.message}: the job is stored all the same, and queued later")


def _resume(client: Client, job_id: str) -> Job:
    """Queues what is missing of a job."""
    job = job_of(client, job_id, to_change=True)
    found = client.reconcile(job)
    sent = len(found.render) + len(found.caption)
    if found.state == "open":
        say(f"{counted(sent, 'shard')} of {job.shards:,} queued, the others were already")
    else:
        say(f"nothing to queue: the job is {found.state}")
        tell_advice(client, job)
    return job


def _dry_run(settings: Settings, target: Target, root: Path | None, *, force: bool) -> int:
    """Checks an input and says what submitting it would do; returns the exit code."""
    from producer.commands.validate import check_file
    from regioncap.jobs.submit import words_of
    from regioncap.views import marks

    marks.get(settings.mark_style)
    words_of(settings)
    totals, refused = check_file(target, settings, root=root)
    if refused is not None and not force:
        raise refused
    say(f"{counted(-(-totals.records // settings.shard_size), 'shard')} would be queued")
    if totals.boxes:
        say(f"{counted(totals.boxes, 'box')} to caption")
    say(
        f"at most {counted(totals.images, 'image')}, {words.size(totals.image_bytes)} would be "
        "uploaded: none twice, and none that the store has"
    )
    return 2 if totals.problems else 0


def _tell(tally: Tally, report: Report) -> None:
    sent = f" ({words.size(tally.uploaded_bytes)})" if tally.uploaded else ""
    for line in report.description:
        say(line)
    say(f"images: {tally.uploaded:,} new{sent}, {tally.known:,} there already")
    for line in report.findings:
        say(line)
    if tally.totals.problems:
        say("regioncap validate --deep shows all problems: it decodes the pictures, too")
    if tally.totals.failing:
        # Of pictures no more than the headers is looked at.
        say(f"at least {counted(tally.totals.failing, 'error record')} will come out")


def _labels(pairs: list[str]) -> dict[str, str]:
    labels = {}
    for pair in pairs:
        key, equals, value = pair.partition("=")
        if not key or not equals:
            raise typer.BadParameter(f"{pair!r} is not of the form key=value", param_hint="--label")
        labels[key] = value
    return labels
