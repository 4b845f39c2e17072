"""Where each setting's value comes from, for people to see; secrets are masked."""

from __future__ import annotations

from collections.abc import Mapping
from typing import Any, NamedTuple
from urllib.parse import urlsplit

from pydantic import SecretStr
from pydantic_settings import InitSettingsSource

from regioncap.settings import Settings, load_settings, named_sources

DEFAULT = "default"
_MASK = "********"


class Origin(NamedTuple):
    """One setting, its value and where that was found."""

    name: str
    #: In the form of JSON; secrets masked, unless they are asked for.
    value: Any
    origin: str


def origins(*, secrets: bool = False, **flags: Any) -> list[Origin]:
    """All settings in the order in which they are documented.

    Args:
        secrets: Whether secrets are shown as they are.
        flags: Settings given on the command line; None counts as not given.

    Raises:
        UsageError: A value cannot be used.
    """
    settings = load_settings(**flags)
    given = {name: value for name, value in flags.items() if value is not None}
    sources = [
        (name, source())
        for name, source in named_sources(Settings, InitSettingsSource(Settings, given))
    ]
    return [
        Origin(
            name,
            _shown(getattr(settings, name), secrets=secrets),
            next((source for source, values in sources if name in values), DEFAULT),
        )
        for name in Settings.model_fields
    ]


def origin_of(setting: str, **flags: Any) -> str:
    """Where one setting's value comes from."""
    return next(found.origin for found in origins(**flags) if found.name == setting)


def named_services(own: Mapping[str, str], **flags: Any) -> list[str]:
    """Settings by which commands here miss a running stack: `broker_url (environment)`.

    Args:
        own: How to reach the stack that is up here.
        flags: Settings given on its command line; other commands are looked at without them, too.
    """
    found = []
    for given in (flags, {}):
        used, right = load_settings(**given), load_settings(**given | dict(own))
        found += [
            f"{each.name} ({each.origin})"
            for each in origins(**given)
            if getattr(used, each.name) != getattr(right, each.name)
        ]
    return list(dict.fromkeys(found))


def _shown(value: Any, *, secrets: bool) -> Any:
    if isinstance(value, SecretStr):
        text = value.get_secret_value()
        return text if secrets else _masked(text)
    return value if isinstance(value, str | int | float | list | dict | None) else str(value)


def _masked(secret: str) -> str:
    """A URL without its password, for the host is no secret; of anything else that it is there."""
    parts = urlsplit(secret)
    if not parts.hostname:
        return _MASK if secret else ""
    user = (parts.username or "") + (f":{_MASK}" if parts.password else "")
    host = parts.netloc.rpartition("@")[2]
    return parts._replace(netloc=f"{user}@{host}" if user else host, query="").geturl()
