"""`regioncap worker`: what starts in place of the command, the plain Celery commands foremost."""

from __future__ import annotations

import os
import sys
from typing import Annotated

import typer

from producer.context import Services

worker = typer.Typer(help="Run a worker.", no_args_is_help=True)


def register(app: typer.Typer) -> None:
    """Adds the commands."""
    app.add_typer(worker, name="worker")


@worker.command("render")
def render_command(
    context: typer.Context,
    concurrency: Annotated[int | None, typer.Option(help="Processes [cores].")] = None,
) -> None:
    """Draw marks: CPU work, one process per core."""
    from regioncap.local.workers import celery_command

    command = celery_command("render", ["-Q", "render"])
    _run(command, context.obj.with_flags(concurrency=concurrency))


@worker.command("caption")
def caption_command(
    context: typer.Context,
    queue: Annotated[str | None, typer.Option(help="Queue to serve.")] = None,
    engine: Annotated[
        str | None, typer.Option(help="What captions; baseline needs no model.")
    ] = None,
    model: Annotated[str | None, typer.Option(help="Model folder or hub name.")] = None,
    concurrency: Annotated[int | None, typer.Option(help="Shards in hand.")] = None,
) -> None:
    """Caption regions: one process per GPU."""
    from regioncap.local.workers import celery_command

    services: Services = context.obj.with_flags(
        queue=queue, engine=engine, model=model, concurrency=concurrency
    )
    queues = ["-Q", services.settings.queue]
    _run(celery_command("caption", [*queues, "-P", "threads"]), services)


@worker.command("janitor")
def janitor_command(context: typer.Context) -> None:
    """Reconcile jobs that make no progress; caption workers do so too."""
    _run([sys.executable, "-m", "workers.janitor"], context.obj)


def _run(command: list[str], services: Services) -> None:
    given = {name: value for name, value in services.flags.items() if value is not None}
    environment = os.environ | {
        f"REGIONCAP_{name.upper()}": str(value) for name, value in given.items()
    }
    # In place of this process: signals then reach the worker itself.
    os.execve(command[0], command, environment)  # noqa: S606  # our own command
