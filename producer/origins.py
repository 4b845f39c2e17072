"""Where each setting's value comes from, for people to see; secrets are masked."""

from __future__ import annotations

from collections.abc import Mapping
from typing import Any, NamedTuple

from pydantic import SecretStr
from pydantic_settings import InitSettingsSource

from regioncap import addresses
from regioncap.settings import Settings, load_settings, named_sources

DEFAULT = "default"


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
            _shown(name, getattr(settings, name), secrets=secrets),
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


def _shown(name: str, value: Any, *, secrets: bool) -> Any:
    if isinstance(value, SecretStr):
        text = value.get_secret_value()
        return text if secrets or not text else _masked(name, text)
    if isinstance(value, str) and "://" in value and not secrets:
        return addresses.public(value)
    return value if isinstance(value, str | int | float | list | dict | None) else str(value)


def _masked(name: str, secret: str) -> str:
    """Of an address the host, which is no secret; of anything else that it is there."""
    if name not in {"broker_url", "on_end_url"}:
        return addresses.MASK
    return addresses.masked(secret, hide_path=name == "on_end_url")
