"""`regioncap status` and `regioncap watch`."""

from __future__ import annotations

import time
from typing import TYPE_CHECKING, Annotated

import typer

from producer.context import Services, emit, emit_model, say, talk

if TYPE_CHECKING:
    from rich.progress import TaskID

    from regioncap.jobs import Job
    from regioncap.status import JobStatus

_POLL_S = 0.5
_LINE_EVERY_S = 5.0

_EXIT_FAILED_RECORDS = 3
_EXIT_TIMED_OUT = 5
_EXIT_CANCELLED = 7


def register(app: typer.Typer) -> None:
    """Adds the commands."""
    app.command("status")(status_command)
    app.command("watch")(watch_command)


def status_command(
    context: typer.Context,
    job_id: Annotated[str | None, typer.Argument(metavar="[JOB]", help="One job.")] = None,
    json: Annotated[bool, typer.Option("--json", help="JSON, one object a job.")] = False,
    limit: Annotated[int, typer.Option(help="How many recent jobs.")] = 10,
) -> None:
    """Show how far a job is, or the recent jobs."""
    from regioncap import jobs
    from regioncap.errors import NotFoundError
    from regioncap.status import job_status

    services: Services = context.obj
    ids = [job_id] if job_id else jobs.recent(services.store, limit)
    for each in ids:
        try:
            job = jobs.load(services.store, each)
        except NotFoundError:
            if job_id:
                raise
            continue  # a submission that broke off leaves parts but no job.json
        status = job_status(services.store, services.redis, job)
        if json:
            emit_model(status)
        else:
            emit(summary_line(status))


def summary_line(status: JobStatus) -> str:
    """One line for people."""
    parts = [
        status.job,
        f"{status.state:9}",
        f"{status.done:,} of {status.records:,} records",
        f"{status.failed:,} failed",
        f"{status.regions_ok:,} of {status.regions:,} regions captioned",
    ]
    if status.name:
        parts.append(status.name)
    return "  ".join(parts)


def watch_command(
    context: typer.Context,
    job_id: Annotated[str, typer.Argument(metavar="JOB", help="The job.")],
    timeout: Annotated[
        float | None, typer.Option(help="Give up watching after so many seconds.")
    ] = None,
) -> None:
    """Watch a job until it ends; Ctrl-C leaves it running."""
    from regioncap import jobs

    services: Services = context.obj
    raise typer.Exit(watch_job(services, jobs.load(services.store, job_id), timeout_s=timeout))


def watch_job(services: Services, job: Job, timeout_s: float | None = None) -> int:
    """Shows progress until the job ends; returns the exit code that says how."""
    started = time.monotonic()
    try:
        status = _follow(services, job, started, timeout_s)
    except KeyboardInterrupt:
        say(f"still running; come back with: regioncap watch {job.job}")
        raise
    say(summary_line(status))
    if not status.ended:
        say(f"still running after {timeout_s:g} s; come back with: regioncap watch {job.job}")
        return _EXIT_TIMED_OUT
    if status.state == "cancelled":
        return _EXIT_CANCELLED
    say(f"results: regioncap results {job.job} -o results.jsonl")
    return _EXIT_FAILED_RECORDS if status.failed else 0


def _follow(services: Services, job: Job, started: float, timeout_s: float | None) -> JobStatus:
    from rich.progress import BarColumn, MofNCompleteColumn, Progress, TextColumn
    from rich.progress import TimeRemainingColumn as Eta

    from regioncap.status import job_status

    columns = (
        TextColumn("{task.description}"), BarColumn(), MofNCompleteColumn(), TextColumn("records"),
        TextColumn("{task.fields[rate]}"), Eta(),
    )  # fmt: skip
    next_line = started + _LINE_EVERY_S
    with Progress(*columns, console=talk, disable=not talk.is_terminal, transient=True) as bar:
        task = bar.add_task(job.job, total=job.records, rate="")
        while True:
            status = job_status(services.store, services.redis, job)
            elapsed = time.monotonic() - started
            _show(bar, task, status)
            if status.ended or (timeout_s is not None and elapsed >= timeout_s):
                return status
            if not talk.is_terminal and time.monotonic() >= next_line:
                say(summary_line(status))
                next_line += _LINE_EVERY_S
            time.sleep(_POLL_S)


def _show(bar: object, task: TaskID, status: JobStatus) -> None:
    from rich.progress import Progress

    if isinstance(bar, Progress):
        speed = bar.tasks[0].speed
        rate = f"{speed:.1f}/s" if speed else ""
        failed = f"  {status.failed:,} failed" if status.failed else ""
        bar.update(task, completed=status.done, rate=rate + failed)
