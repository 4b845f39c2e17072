"""What commands share: the settings, the services, and how to speak to the user.

stdout carries data only; everything said to people goes to stderr.
"""

from __future__ import annotations

import json
import sys
from functools import cached_property
from typing import TYPE_CHECKING, Any

from rich.console import Console

if TYPE_CHECKING:
    import redis
    from pydantic import BaseModel

    from regioncap.services.queue import Sender
    from regioncap.services.store import Store
    from regioncap.settings import Settings

talk = Console(stderr=True, highlight=False)


def say(text: str) -> None:
    """Tells people something; no markup is read from it."""
    talk.print(text, markup=False, soft_wrap=True)


def emit(text: str) -> None:
    """Writes one line of data."""
    # A name that is no UTF-8 must not end the listing.
    line = text.encode("utf-8", "replace") + b"\n"
    if on_terminal():
        # Through rich, which while a bar is shown stands in for stdout and writes above the bar.
        sys.stdout.write(line.decode())
    else:
        sys.stdout.buffer.write(line)


def emit_json(value: Any) -> None:
    """Writes a value as one line of JSON."""
    emit(json.dumps(value, ensure_ascii=False))


def emit_model(model: BaseModel) -> None:
    """Writes an object as one line of JSON."""
    emit(model.model_dump_json())


def on_terminal() -> bool:
    """Whether data goes to a person's eyes."""
    return sys.stdout.isatty()


class Services:
    """The services that commands use, made when first needed.

    Args:
        flags: Settings given on the command line; None counts as not given.
    """

    def __init__(self, **flags: Any) -> None:
        self.flags = flags

    def with_flags(self, **flags: Any) -> Services:
        """The same with more settings given."""
        return Services(**{**self.flags, **flags})

    @cached_property
    def settings(self) -> Settings:
        """The resolved settings."""
        from regioncap.settings import load_settings

        return load_settings(**self.flags)

    @cached_property
    def store(self) -> Store:
        """The object store, which answers at least to a knock.

        Raises:
            StoreError: It does not; people at a terminal are told within seconds.
        """
        from regioncap.services.store import Store

        store = Store(self.settings)
        store.reach()
        return store

    @cached_property
    def redis(self) -> redis.Redis:
        """The Redis that carries the queue; it may be away."""
        from regioncap.services.broker import connect

        return connect(self.settings, patient=False)

    @cached_property
    def sender(self) -> Sender:
        """Puts shards into the queue."""
        from regioncap.services.queue import Sender, make_app

        return Sender(make_app(self.settings))
