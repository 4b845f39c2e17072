"""What commands share: how to speak to the user, and the settings and the client.

stdout carries data only; everything said to people goes to stderr.
"""

from __future__ import annotations

import json
import sys
from typing import TYPE_CHECKING, Any

from producer.terminal import SafeConsole
from regioncap.escapes import shown

if TYPE_CHECKING:
    import typer
    from pydantic import BaseModel

    from regioncap.client import Client
    from regioncap.job import Job
    from regioncap.settings import Settings

talk = SafeConsole(stderr=True)


def say(text: str) -> None:
    """Tells people something; no markup is read from it."""
    talk.print(text, soft_wrap=True)


def emit(text: str) -> None:
    """Writes one line of data: as it is, and on a terminal as that may be given it."""
    # A name that is no UTF-8 must not end the listing.
    emit_bytes(text.encode("utf-8", "replace") + b"\n")
    sys.stdout.flush()  # whoever reads a pipe waits for it


def emit_bytes(data: bytes) -> None:
    """Writes data, whole lines of it: as they are, and on a terminal as that may be given them."""
    if on_terminal():
        # Through rich, which while a bar is shown stands in for stdout and writes above the bar.
        text = data.decode("utf-8", "replace").replace("\r\n", "\n")  # as CSV ends its lines
        sys.stdout.write(shown(text))
    else:
        sys.stdout.buffer.write(data)


def emit_json(value: Any) -> None:
    """Writes a value as one line of JSON."""
    emit(json.dumps(value, ensure_ascii=False))


def emit_model(model: BaseModel) -> None:
    """Writes an object as one line of JSON."""
    emit(model.model_dump_json())


def on_terminal() -> bool:
    """Whether stdout is a terminal."""
    return sys.stdout.isatty()


def settings_of(context: typer.Context, **flags: Any) -> Settings:
    """The settings, with those given before the command and these, where they are not None."""
    from regioncap.settings import load_settings

    return load_settings(**context.obj | flags)


def client_of(context: typer.Context, **flags: Any) -> Client:
    """A client with these settings; it tells within seconds of a service that is away."""
    from regioncap.client import Client

    return Client(settings_of(context, **flags), patient=False, tell=say)


def job_of(client: Client, wanted: str | None, *, to_change: bool = False) -> Job:
    """The job that is meant; which one that is, is said where its whole id was not given."""
    found = client.find(wanted, to_change=to_change)
    if found.said:
        say(found.said)
    return found.job
