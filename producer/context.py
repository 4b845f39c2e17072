"""What commands share: the settings, the services, and how to speak to the user.

stdout carries data only; everything said to people goes to stderr.
"""

from __future__ import annotations

import sys
from functools import cached_property
from typing import TYPE_CHECKING, Any

from rich.console import Console

if TYPE_CHECKING:
    import redis
    from pydantic import BaseModel

    from regioncap.queue import Sender
    from regioncap.settings import Settings
    from regioncap.store import Store

talk = Console(stderr=True, highlight=False)


def say(text: str) -> None:
    """Tells people something; no markup is read from it."""
    talk.print(text, markup=False, soft_wrap=True)


def emit(text: str) -> None:
    """Writes one line of data."""
    sys.stdout.write(text + "\n")


def emit_model(model: BaseModel) -> None:
    """Writes an object as one line of JSON."""
    emit(model.model_dump_json())


class Services:
    """The services that commands use, made when first needed.

    Args:
        flags: Settings given on the command line; None counts as not given.
    """

    def __init__(self, **flags: Any) -> None:
        self._flags = flags

    def with_flags(self, **flags: Any) -> Services:
        """The same with more settings given."""
        return Services(**{**self._flags, **flags})

    @cached_property
    def settings(self) -> Settings:
        """The resolved settings."""
        from regioncap.settings import load_settings

        return load_settings(**self._flags)

    @cached_property
    def store(self) -> Store:
        """The object store."""
        from regioncap.store import Store

        return Store(self.settings)

    @cached_property
    def redis(self) -> redis.Redis:
        """The Redis that carries the queue."""
        from regioncap.progress import connect

        return connect(self.settings)

    @cached_property
    def sender(self) -> Sender:
        """Puts shards into the queue."""
        from regioncap.queue import Sender, make_app

        return Sender(make_app(self.settings))
