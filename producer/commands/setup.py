"""`regioncap setup`: makes what a new installation needs."""

from __future__ import annotations

import time
from typing import Annotated

import typer

from producer.context import Services, say


def register(app: typer.Typer) -> None:
    """Adds the command."""
    app.command("setup")(setup)


def setup(
    context: typer.Context,
    timeout: Annotated[float, typer.Option(help="Seconds to wait for the store.")] = 60.0,
) -> None:
    """Make the bucket, once the store takes objects; does nothing that is done already."""
    services: Services = context.obj
    _wait(services, time.monotonic() + timeout)
    say(f"bucket {services.store.bucket} at {services.store.endpoint} is ready")


def _wait(services: Services, deadline: float) -> None:
    from regioncap.errors import StoreError

    while True:
        try:
            services.store.ensure_bucket()
            # A gateway answers before the servers behind it have room; only a write tells.
            services.store.put(_PROBE_KEY, b"ready")
            services.store.delete(_PROBE_KEY)
        except StoreError:
            if time.monotonic() > deadline:
                raise
            time.sleep(_PAUSE_S)
        else:
            return


_PROBE_KEY = ".ready"
_PAUSE_S = 0.5
