"""`regioncap submit`."""

from __future__ import annotations

from pathlib import Path
from typing import TYPE_CHECKING, Annotated

import typer

from producer.context import Services, emit, say, talk

if TYPE_CHECKING:
    from regioncap.jobs import Job
    from regioncap.submit import Tally


def register(app: typer.Typer) -> None:
    """Adds the command."""
    app.command("submit")(submit_command)


def submit_command(
    context: typer.Context,
    file: Annotated[Path, typer.Argument(help="JSON Lines with `image` and `bbox`.")],
    image_root: Annotated[
        Path | None, typer.Option(help="Folder that image paths are relative to [FILE's folder].")
    ] = None,
    name: Annotated[str, typer.Option(help="A name for the job.")] = "",
    label: Annotated[list[str] | None, typer.Option(help="A label, as key=value.")] = None,
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
    wait: Annotated[bool, typer.Option("--wait", help="Watch until it is done.")] = False,
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
    )
    job = submit_file(services, file, root=image_root, name=name, labels=_labels(label or []))
    emit(job.job)
    if wait:
        from producer.commands.jobs import watch_job

        raise typer.Exit(watch_job(services, job))
    say(f"watch it: regioncap watch {job.job}")


def submit_file(
    services: Services,
    file: Path,
    *,
    root: Path | None = None,
    name: str = "",
    labels: dict[str, str] | None = None,
) -> Job:
    """Submits a JSON Lines file with a progress line, and queues its shards."""
    from regioncap import marks
    from regioncap.errors import QueueError, UsageError
    from regioncap.submit import read_lines, submit

    marks.get(services.settings.mark_style)
    template = template_text(services.settings.prompt)
    try:
        stream = file.open("rb")
    except OSError as error:
        raise UsageError(
            f"{file} cannot be read: {error.strerror}", code="no-input-file"
        ) from error
    with stream, talk.status("uploading") as status:
        services.store.ensure_bucket()
        job, tally = submit(
            read_lines(stream),
            store=services.store,
            settings=services.settings,
            root=root or file.parent,
            source=str(file),
            name=name,
            labels=labels,
            prompt_template=template,
            on_progress=lambda tally: status.update(f"uploading, {tally.records:,} records"),
        )
    _tell(tally, file)
    try:
        services.sender.render(job, range(job.shards))
    except QueueError as error:
        raise QueueError(
            f"job {job.job} is safe in the store but not queued: {error.message}",
            code=error.code,
            hint=f"when Redis is back: regioncap reconcile {job.job}",
        ) from error
    return job


def template_text(prompt: str) -> str:
    """Text of the user's own prompt template, checked; empty for one that is built in.

    Raises:
        UsageError: There is no such template or file, or it is no template.
    """
    from regioncap.errors import UsageError
    from regioncap.prompts import built_in, parse_template

    if not prompt.endswith(".toml"):
        built_in(prompt)
        return ""
    try:
        text = Path(prompt).read_text("utf-8")
    except (OSError, UnicodeDecodeError) as error:
        raise UsageError(f"{prompt} cannot be read: {error}", code="no-prompt-file") from error
    parse_template(text, prompt)
    return text


def _tell(tally: Tally, file: Path) -> None:
    size = f"{tally.uploaded_bytes / 1e6:.1f} MB"
    say(
        f"{tally.records:,} records; images: {tally.uploaded:,} new ({size}), "
        f"{tally.known:,} there already"
    )
    for record in tally.samples:
        if record.error is not None:
            say(f"{file}:{record.line}: {record.error.code}: {record.error.message}")
    if tally.rejected > len(tally.samples):
        say(f"... and {tally.rejected - len(tally.samples):,} more")
    if tally.rejected:
        say(f"{tally.rejected:,} records cannot be captioned and will come out as error records")


def _labels(pairs: list[str]) -> dict[str, str]:
    labels = {}
    for pair in pairs:
        key, equals, value = pair.partition("=")
        if not key or not equals:
            raise typer.BadParameter(f"{pair!r} is not of the form key=value", param_hint="--label")
        labels[key] = value
    return labels
