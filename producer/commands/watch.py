"""`regioncap watch`."""

from __future__ import annotations

import math
import time
from typing import TYPE_CHECKING, Annotated

import typer
from rich.live import Live

from producer.commands.status import summary_line, tell_advice, tell_of_missing_workers
from producer.context import client_of, emit_model, job_of, say, talk
from producer.options import JobArgument
from regioncap.errors import ServiceError

if TYPE_CHECKING:
    from collections.abc import Callable

    from regioncap.client import Client
    from regioncap.job import Job
    from regioncap.jobs.status import JobStatus

    Follow = Callable[[Client, Job, float | None], JobStatus]

_LINE_EVERY_S = 5.0

_EXIT_FAILED_RECORDS = 3
_EXIT_TIMED_OUT = 5
_EXIT_CANCELLED = 7
_EXIT_PAUSED = 9


def watch_command(
    context: typer.Context,
    job_id: JobArgument = None,
    timeout: Annotated[
        float | None, typer.Option(help="Give up watching after so many seconds.", min=0)
    ] = None,
    json: Annotated[
        bool, typer.Option("--json", help="JSON as of status, an object every few seconds.")
    ] = False,
) -> None:
    """Watch a job until it ends; Ctrl-C leaves it running."""
    client = client_of(context)
    follow = emit_job if json else follow_job
    raise typer.Exit(watch_job(client, job_of(client, job_id), timeout, follow))


def watch_job(
    client: Client, job: Job, timeout_s: float | None = None, follow: Follow | None = None
) -> int:
    """Shows progress until the job ends; returns the exit code that says how."""
    tell_of_missing_workers(client, job)
    come_back = f"still running; come back with: regioncap watch {job.job}"
    try:
        status = (follow or follow_job)(client, job, timeout_s)
    except KeyboardInterrupt:
        say(come_back)
        raise
    if not status.rests:
        say(come_back)
        return _EXIT_TIMED_OUT
    if status.failed:
        _tell_of_failures(client, job)
    tell_advice(client, job, status)
    return exit_code(status)


def _tell_of_failures(client: Client, job: Job) -> None:
    """Names the first failed records, a line each code, and where to mend them."""
    from regioncap.jobs import failures

    try:
        found = failures.first(client.store, client.progress(job.job), job)
    except ServiceError:
        return  # the counts are told
    for line in found:
        say(line)


def follow_job(client: Client, job: Job, timeout_s: float | None = None) -> JobStatus:
    """Shows progress until the job ends or the time is over, and how far it came."""
    from producer.board import Board, LastFailure

    board = Board(job)
    failure = LastFailure(client.store, client.progress(job.job), job)
    next_line = time.monotonic() + _LINE_EVERY_S
    with Live(console=talk, transient=True, auto_refresh=False) as live:
        for status in client.follow(job, timeout_s=timeout_s):
            now = time.monotonic()
            board.see(now, status, failure.look(status.failed))
            if talk.is_terminal:
                live.update(board.view(), refresh=True)
            elif now >= next_line and not status.rests:
                say("  ".join([summary_line(status), *board.speeds(), board.left()]).rstrip())
                next_line = now + _LINE_EVERY_S
    say(summary_line(status))
    return status


def emit_job(client: Client, job: Job, timeout_s: float | None = None) -> JobStatus:
    """Writes how far a job is every few seconds and at the end, for scripts."""
    next_s = -math.inf
    for status in client.follow(job, timeout_s=timeout_s):
        if time.monotonic() >= next_s and not status.rests:
            emit_model(status)
            next_s = time.monotonic() + _LINE_EVERY_S
    if status.rests:
        emit_model(status)
    return status


def exit_code(status: JobStatus) -> int:
    """The exit code that says how a job ended."""
    if status.state == "cancelled":
        return _EXIT_CANCELLED
    if status.state == "paused":
        return _EXIT_PAUSED
    return _EXIT_FAILED_RECORDS if status.failed else 0
