"""`regioncap submit`."""

from __future__ import annotations

import sys
from pathlib import Path
from typing import TYPE_CHECKING, Annotated

import typer

from producer import words
from producer.context import Services, emit, say
from producer.meter import meter

if TYPE_CHECKING:
    from regioncap.job import Job
    from regioncap.jobs.submit import Tally


def register(app: typer.Typer) -> None:
    """Adds the command."""
    app.command("submit")(submit_command)


def submit_command(
    context: typer.Context,
    file: Annotated[
        str | None,
        typer.Argument(
            metavar="FILE",
            help="JSON Lines with `image` and `bbox`, a picture, a folder of them, or -.",
        ),
    ] = None,
    image_root: Annotated[
        Path | None, typer.Option(help="Folder that image paths are relative to [FILE's folder].")
    ] = None,
    name: Annotated[str, typer.Option(help="A name for the job.")] = "",
    label: Annotated[
        list[str] | None, typer.Option(help="A label, as key=value; may be repeated.")
    ] = None,
    max_boxes: Annotated[int | None, typer.Option(help="Most boxes in one picture.")] = None,
    overflow: Annotated[str | None, typer.Option(help="More boxes: rounds or cut.")] = None,
    box_format: Annotated[
        str | None, typer.Option(help="xywh, xyxy, xywh-normalized or xyxy-normalized.")
    ] = None,
    mark_style: Annotated[str | None, typer.Option(help="How marks are drawn.")] = None,
    region_mode: Annotated[
        str | None, typer.Option(help="How regions are shown: marks, crop or marks+crop.")
    ] = None,
    crop_below: Annotated[
        float | None, typer.Option(help="With marks+crop: the share below which a crop is made.")
    ] = None,
    prompt: Annotated[str | None, typer.Option(help="Prompt template, or a file.")] = None,
    temperature: Annotated[float | None, typer.Option(help="0 is greedy.")] = None,
    top_p: Annotated[float | None, typer.Option(help="Nucleus sampling threshold.")] = None,
    max_tokens: Annotated[int | None, typer.Option(help="Longest answer.")] = None,
    seed: Annotated[int | None, typer.Option(help="Seed of the sampling.")] = None,
    shard_size: Annotated[int | None, typer.Option(help="Records in a shard.")] = None,
    queue: Annotated[str | None, typer.Option(help="Queue of the caption workers.")] = None,
    reuse: Annotated[
        bool | None,
        typer.Option("--reuse", help="Take over captions of earlier jobs where nothing changed."),
    ] = None,
    price_per_gpu_hour: Annotated[
        float | None, typer.Option(help="To tell what 1,000 regions cost.")
    ] = None,
    wait: Annotated[bool, typer.Option("--wait", help="Watch until it is done.")] = False,
    dry_run: Annotated[
        bool, typer.Option("--dry-run", help="Check and count; needs no services, sends nothing.")
    ] = False,
    resume: Annotated[
        str | None, typer.Option(metavar="JOB", help="Queue what is missing of a job.")
    ] = None,
) -> None:
    """Submit a job: upload its images, queue its work, print its id."""
    services: Services = context.obj.with_flags(
        max_boxes=max_boxes,
        overflow=overflow,
        box_format=box_format,
        mark_style=mark_style,
        region_mode=region_mode,
        crop_below=crop_below,
        prompt=prompt,
        temperature=temperature,
        top_p=top_p,
        max_tokens=max_tokens,
        seed=seed,
        shard_size=shard_size,
        queue=queue,
        reuse=reuse,
        price_per_gpu_hour=price_per_gpu_hour,
    )
    if (file is None) == (resume is None):
        raise typer.BadParameter("give either a FILE or --resume JOB")
    if dry_run and file is not None:
        raise typer.Exit(_dry_run(services, file, image_root))
    if resume is not None:
        job = _resume(services, resume)
    else:
        job = submit_file(
            services, str(file), root=image_root, name=name, labels=_labels(label or [])
        )
    emit(job.job)
    sys.stdout.flush()
    from producer.commands.watch import tell_of_missing_workers, watch_job

    if wait:
        raise typer.Exit(watch_job(services, job))
    tell_of_missing_workers(services, job)
    say(f"watch it: regioncap watch {job.job}")


def submit_file(
    services: Services,
    target: str | Path,
    *,
    root: Path | None = None,
    name: str = "",
    labels: dict[str, str] | None = None,
) -> Job:
    """Submits a file, a folder or stdin with a progress bar, and queues its shards."""
    from regioncap.inputs.source import open_source
    from regioncap.jobs.submit import submit

    template = _checked_template(services)
    with open_source(str(target), sys.stdin.buffer, root) as source:
        _check_services(services)
        try:
            with meter("uploading", "images") as bar:
                job, tally = submit(
                    source.records,
                    store=services.store,
                    settings=services.settings,
                    root=source.root,
                    source=source.name,
                    name=name,
                    labels=labels,
                    prompt_template=template,
                    on_progress=lambda tally: bar.show(
                        source.fraction(),
                        tally.uploaded + tally.known,
                        f"{words.size(tally.uploaded_bytes)} sent, {tally.known:,} there already",
                    ),
                )
        except KeyboardInterrupt:
            say("nothing was submitted; run it again: what is uploaded is not sent again")
            raise
    _tell(tally, source.name)
    _queue(services, job)
    return job


def _checked_template(services: Services) -> str:
    """Text of the user's own prompt template, with all that can be checked before the upload."""
    from regioncap.jobs.submit import template_text
    from regioncap.views import marks

    marks.get(services.settings.mark_style)
    return template_text(services.settings.prompt)


def _check_services(services: Services) -> None:
    from regioncap.errors import QueueError
    from regioncap.services.broker import queue_errors

    services.store.ensure_bucket()
    try:
        with queue_errors():
            services.redis.ping()
    except QueueError as error:
        say(f"{error.message}: the job is stored all the same, and queued later")


def _queue(services: Services, job: Job) -> None:
    from regioncap.errors import QueueError

    remedy = f"regioncap submit --resume {job.job}"
    try:
        with meter("queueing", "shards") as bar:
            services.sender.render(job, bar.track(range(job.shards)))
    except QueueError as error:
        raise QueueError(
            f"job {job.job} is safe in the store but not all queued: {error.message}",
            code=error.code,
            hint=f"workers find it when Redis is back; to queue it at once: {remedy}",
        ) from error
    except KeyboardInterrupt:
        say(f"job {job.job} is not all queued; send the rest: {remedy}")
        raise


def _resume(services: Services, job_id: str) -> Job:
    """Queues what is missing of a job."""
    from regioncap.jobs import catalogue
    from regioncap.jobs.reconcile import reconcile
    from regioncap.services.progress import Progress

    job = catalogue.load(services.store, job_id)
    found = reconcile(services.store, Progress(services.redis, job_id), services.sender, job)
    sent = len(found.render) + len(found.caption)
    if found.state == "open":
        say(f"{words.count(sent, 'shard')} of {job.shards:,} queued, the others were already")
    else:
        say(f"nothing to queue: the job is {found.state}")
    return job


def _dry_run(services: Services, file: str, root: Path | None) -> int:
    """Checks an input and says what submitting it would do; returns the exit code."""
    from producer.commands.validate import check_files, tell_totals

    _checked_template(services)
    settings = services.settings
    totals = check_files([file], settings, root=root)
    tell_totals(totals)
    say(f"{words.count(-(-totals.records // settings.shard_size), 'shard')} would be queued")
    if totals.boxes:
        say(f"{words.count(totals.boxes, 'box')} to caption")
    if totals.unboxed:
        say(f"{words.count(totals.unboxed, 'record')} without bbox: regions would be proposed")
    say(
        f"at most {words.count(totals.images, 'image')}, {words.size(totals.image_bytes)} would be "
        "uploaded: none twice, and none that the store has"
    )
    return 2 if totals.problems else 0


def _tell(tally: Tally, file: str) -> None:
    from regioncap.inputs.validate import rejection

    sent = f" ({words.size(tally.uploaded_bytes)})" if tally.uploaded else ""
    say(
        f"{words.count(tally.records, 'record')}; "
        f"images: {tally.uploaded:,} new{sent}, {tally.known:,} there already"
    )
    if tally.unboxed:
        say(f"{words.count(tally.unboxed, 'record')} without bbox: regions will be proposed")
    if tally.doubtful:
        say(
            f"{words.count(tally.doubtful, 'record')} with boxes that look wrong: "
            "regioncap validate shows which"
        )
    for record in tally.samples:
        say(str(rejection(record, file)))
    if tally.rejected > len(tally.samples):
        say(f"... and {tally.rejected - len(tally.samples):,} more; regioncap validate shows all")
    if tally.rejected:
        least = "at least " if tally.doubtful else ""
        say(f"{least}{words.count(tally.rejected, 'error record')} will come out")


def _labels(pairs: list[str]) -> dict[str, str]:
    labels = {}
    for pair in pairs:
        key, equals, value = pair.partition("=")
        if not key or not equals:
            raise typer.BadParameter(f"{pair!r} is not of the form key=value", param_hint="--label")
        labels[key] = value
    return labels
