"""`regioncap watch`."""

from __future__ import annotations

import time
from typing import TYPE_CHECKING, Annotated

import typer

from producer.commands.status import summary_line
from producer.context import Services, say, talk

if TYPE_CHECKING:
    from regioncap.job import Job
    from regioncap.jobs.status import JobStatus

_LINE_EVERY_S = 5.0

_EXIT_FAILED_RECORDS = 3
_EXIT_TIMED_OUT = 5
_EXIT_CANCELLED = 7


def register(app: typer.Typer) -> None:
    """Adds the command."""
    app.command("watch")(watch_command)


def watch_command(
    context: typer.Context,
    job_id: Annotated[str, typer.Argument(metavar="JOB", help="The job.")],
    timeout: Annotated[
        float | None, typer.Option(help="Give up watching after so many seconds.", min=0)
    ] = None,
) -> None:
    """Watch a job until it ends; Ctrl-C leaves it running."""
    from regioncap.jobs import catalogue

    services: Services = context.obj
    raise typer.Exit(watch_job(services, catalogue.load(services.store, job_id), timeout_s=timeout))


def watch_job(services: Services, job: Job, timeout_s: float | None = None) -> int:
    """Shows progress until the job ends; returns the exit code that says how."""
    tell_of_missing_workers(services, job)
    come_back = f"still running; come back with: regioncap watch {job.job}"
    try:
        status = follow_job(services, job, timeout_s)
    except KeyboardInterrupt:
        say(come_back)
        raise
    if not status.ended:
        say(come_back)
        return _EXIT_TIMED_OUT
    if status.state == "done":
        _say_next(status)
    return exit_code(status)


def tell_of_missing_workers(services: Services, job: Job) -> None:
    """Says whom an unfinished job waits for, where nobody serves its queue."""
    from regioncap.errors import ServiceError
    from regioncap.jobs.status import job_status
    from regioncap.services import presence

    queue = job.settings.queue
    try:
        if job_status(services.store, services.redis, job).ended:
            return
        missing = presence.unserved(services.redis, queue)
    except ServiceError:
        return  # what comes next says so
    for kind in missing:
        where = f" on queue {queue}" if kind == "caption" else ""
        command = presence.start_command(kind, queue)
        say(f"no {kind} worker{where}, so the job waits; start one: {command}")


def _say_next(status: JobStatus) -> None:
    say(f"results: regioncap results {status.job} -o results.jsonl")
    if status.failed:
        say(f"failed:  regioncap results {status.job} --failed")
    say(f"gallery: regioncap view {status.job} --open")


def follow_job(services: Services, job: Job, timeout_s: float | None = None) -> JobStatus:
    """Shows progress until the job ends or the time is over, and how far it came."""
    status = _follow(services, job, timeout_s)
    say(summary_line(status))
    return status


def exit_code(status: JobStatus) -> int:
    """The exit code that says how a job ended."""
    if status.state == "cancelled":
        return _EXIT_CANCELLED
    return _EXIT_FAILED_RECORDS if status.failed else 0


def _follow(services: Services, job: Job, timeout_s: float | None) -> JobStatus:
    from rich.live import Live

    from producer.board import Board
    from producer.last_failure import LastFailure
    from regioncap.jobs.status import job_status, pause_s
    from regioncap.services.progress import Progress

    board = Board(job)
    failure = LastFailure(services.store, Progress(services.redis, job.job), job)
    began = time.monotonic()
    deadline = None if timeout_s is None else began + timeout_s
    next_line = began + _LINE_EVERY_S
    terminal = talk.is_terminal
    with Live(console=talk, transient=True, auto_refresh=False) as live:
        while True:
            now = time.monotonic()
            status = job_status(services.store, services.redis, job)
            board.see(now, status, failure.look(status.failed))
            if status.ended or (deadline is not None and now >= deadline):
                return status
            if terminal:
                live.update(board.view(), refresh=True)
            elif now >= next_line:
                say("  ".join([summary_line(status), *board.speeds(), board.left()]).rstrip())
                next_line = now + _LINE_EVERY_S
            time.sleep(pause_s(now - began))
