"""`regioncap worker`: what starts in place of the command, the plain Celery commands foremost."""

from __future__ import annotations

import os
import sys
from typing import Annotated, Any

import typer

from producer.options import setting_options

worker = typer.Typer(help="Run a worker.", no_args_is_help=True)


@worker.command("render")
def render_command(
    context: typer.Context,
    concurrency: Annotated[int | None, typer.Option(help="Processes [cores].")] = None,
) -> None:
    """Draw marks: CPU work, one process per core."""
    from regioncap.local.workers import celery_command

    command = celery_command("render", ["-Q", "render"])
    _run(command, context.obj | {"concurrency": concurrency})


@worker.command("caption")
@setting_options("engine", "model")
def caption_command(
    context: typer.Context,
    queue: Annotated[str | None, typer.Option(help="Queue to serve.")] = None,
    concurrency: Annotated[int | None, typer.Option(help="Shards in hand.")] = None,
    **flags: Any,
) -> None:
    """Caption regions: one process per GPU."""
    from regioncap.local.workers import celery_command
    from regioncap.settings import load_settings

    flags |= context.obj | {"queue": queue, "concurrency": concurrency}
    queues = ["-Q", load_settings(**flags).queue]
    _run(celery_command("caption", [*queues, "-P", "threads"]), flags)


@worker.command("janitor")
def janitor_command(context: typer.Context) -> None:
    """Reconcile jobs that make no progress; caption workers do so too."""
    _run([sys.executable, "-m", "workers.janitor"], context.obj)


def _run(command: list[str], flags: dict[str, Any]) -> None:
    from regioncap.settings import as_environment

    # In place of this process: signals then reach the worker itself.
    os.execve(command[0], command, as_environment(flags))  # noqa: S606  # our own command
