"""`regioncap setup`: makes what a new installation needs."""

from __future__ import annotations

import time
from typing import Annotated

import typer

from producer.context import client_of, say
from regioncap.errors import StoreError

_PROBE_KEY = ".ready"
_PAUSE_S = 0.5


def setup_command(
    context: typer.Context,
    timeout: Annotated[float, typer.Option(help="Seconds to wait for the store.")] = 60.0,
) -> None:
    """Make the bucket, once the store takes objects; does nothing that is done already."""
    client = client_of(context)
    deadline = time.monotonic() + timeout
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
            break
    say(f"bucket {client.store.bucket} at {client.store.endpoint} is ready")
