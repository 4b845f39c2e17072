"""`regioncap setup`: makes what a new installation needs."""

from __future__ import annotations

import time
from typing import TYPE_CHECKING, Annotated

import typer

from producer.context import client_of, say

if TYPE_CHECKING:
    from regioncap.client import Client


def setup_command(
    context: typer.Context,
    timeout: Annotated[float, typer.Option(help="Seconds to wait for the store.")] = 60.0,
) -> None:
    """Make the bucket, once the store takes objects; does nothing that is done already."""
    client = client_of(context)
    _wait(client, time.monotonic() + timeout)
    say(f"bucket {client.store.bucket} at {client.store.endpoint} is ready")


def _wait(client: Client, deadline: float) -> None:
    from regioncap.errors import StoreError

    while True:
        try:
            client.store.ensure_bucket()
            # A gateway answers before the servers behind it have room; only a write tells.
            client.store.put(_PROBE_KEY, b"ready")
            client.store.delete(_PROBE_KEY)
        except StoreError:
            if time.monotonic() > deadline:
                raise
            time.sleep(_PAUSE_S)
        else:
            return


_PROBE_KEY = ".ready"
_PAUSE_S = 0.5
