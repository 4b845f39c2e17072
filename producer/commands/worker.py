"""`regioncap worker render` and `regioncap worker caption`: the plain Celery commands."""

from __future__ import annotations

import os
import signal
from typing import TYPE_CHECKING, Annotated

import typer

from producer.context import Services

if TYPE_CHECKING:
    from regioncap.janitor import Janitor
    from regioncap.settings import Settings

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
    _run("render", ["-Q", "render"], context.obj.with_flags(concurrency=concurrency))


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
    services: Services = context.obj.with_flags(
        queue=queue, engine=engine, model=model, concurrency=concurrency
    )
    _run("caption", ["-Q", services.settings.queue, "-P", "threads"], services)


@worker.command("janitor")
def janitor_command(context: typer.Context) -> None:
    """Reconcile jobs that make no progress; caption workers do so too."""
    from regioncap import logs
    from regioncap.janitor import Janitor

    logs.configure()
    services: Services = context.obj
    janitor = Janitor(
        services.store, services.redis, services.sender, services.settings.visibility_timeout_s
    )
    _serve_health(services.settings, janitor)
    for number in (signal.SIGTERM, signal.SIGINT):
        signal.signal(number, lambda *_: janitor.stop())
    janitor.run()


def _serve_health(settings: Settings, janitor: Janitor) -> None:
    from regioncap import metrics
    from regioncap.exporter import Exporter
    from regioncap.health import Health

    if settings.metrics_port is None:
        return
    exporter, health = Exporter("janitor"), Health()
    metrics.install(exporter.add)
    health.require("rounds", janitor.check)
    health.ready()
    exporter.serve(settings.metrics_host, settings.metrics_port, health)


def _run(kind: str, arguments: list[str], services: Services) -> None:
    from regioncap.local.workers import celery_command

    given = {name: value for name, value in services.flags.items() if value is not None}
    environment = os.environ | {
        f"REGIONCAP_{name.upper()}": str(value) for name, value in given.items()
    }
    command = celery_command(kind, arguments)
    # In place of this process: signals then reach the worker itself.
    os.execve(command[0], command, environment)  # noqa: S606  # our own command
