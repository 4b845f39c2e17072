"""`regioncap worker`: what starts in place of the command, the plain Celery commands foremost."""

from __future__ import annotations

import os
import sys
from typing import TYPE_CHECKING, Annotated, Any

import typer

from producer.context import say
from producer.options import GpusOption, setting_options

if TYPE_CHECKING:
    from regioncap.settings import Settings

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
@setting_options("engine", "model", openai_base_url="--base-url")
def caption_command(
    context: typer.Context,
    queue: Annotated[str | None, typer.Option(help="Queue to serve.")] = None,
    concurrency: Annotated[int | None, typer.Option(help="Shards in hand.")] = None,
    gpus: GpusOption = None,
    **flags: Any,
) -> None:
    """Caption regions: one process, or with --gpus one for each GPU."""
    from regioncap.local.workers import celery_command
    from regioncap.settings import load_settings

    flags |= context.obj | {"queue": queue, "concurrency": concurrency}
    settings = load_settings(**flags)
    if gpus is None:
        _run(celery_command("caption", ["-Q", settings.queue, "-P", "threads"]), flags)
    else:
        _run_on_gpus(settings, flags, gpus)


@worker.command("janitor")
def janitor_command(context: typer.Context) -> None:
    """Reconcile jobs that make no progress; caption workers do so too."""
    _run([sys.executable, "-m", "workers.janitor"], context.obj)


def _run_on_gpus(settings: Settings, flags: dict[str, Any], gpus: str) -> None:
    """Becomes the worker of one GPU (or group), or runs one for each until told to stop."""
    from regioncap.engines.gpu_groups import for_workers
    from regioncap.local.side_by_side import run_side_by_side
    from regioncap.local.workers import celery_command, say_which, worker_command
    from regioncap.settings import as_environment

    choice = for_workers(settings, gpus)
    groups = choice.groups if choice else []
    environment = as_environment(flags)
    commands = [
        worker_command(
            f"caption-{place + 1}", "caption", settings, environment, group=group, place=place
        )
        for place, group in enumerate(groups)
    ]
    for line in say_which(commands, groups, choice):
        say(line)
    locks = [lock for group in groups for lock in group.locks]
    if len(groups) == 1:
        for lock in locks:
            os.set_inheritable(lock, True)
        command = celery_command("caption", ["-Q", settings.queue, "-P", "threads"])
        os.execve(command[0], command, environment | groups[0].environment)  # noqa: S606
    else:
        raise typer.Exit(run_side_by_side(settings, commands, locks, say))


def _run(command: list[str], flags: dict[str, Any]) -> None:
    from regioncap.settings import as_environment

    # In place of this process: signals then reach the worker itself.
    os.execve(command[0], command, as_environment(flags))  # noqa: S606  # our own command
