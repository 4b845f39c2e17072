"""`regioncap config`."""

from __future__ import annotations

import json as json_module
from typing import Annotated, Any

import typer

from producer.context import emit_json
from producer.tables import show_table

config = typer.Typer(help="Look at the settings.", no_args_is_help=True)


@config.callback()
def _config() -> None:
    """Look at the settings."""


@config.command("show")
def show_command(
    context: typer.Context,
    origin: Annotated[
        bool, typer.Option("--origin", help="Show also where each value comes from.")
    ] = False,
    secrets: Annotated[
        bool, typer.Option("--secrets", help="Show secrets too, for other tools that need them.")
    ] = False,
    json: Annotated[bool, typer.Option("--json", help="JSON, one object a setting.")] = False,
) -> None:
    """Show every setting as it is in force here; secrets are masked unless asked for."""
    from producer.origins import origins

    found = origins(secrets=secrets, **context.obj)
    if json:
        for each in found:
            emit_json(each._asdict())
        return
    columns = ("SETTING", "VALUE", "ORIGIN") if origin else ("SETTING", "VALUE")
    rows = [(each.name, _text(each.value), each.origin) for each in found]
    show_table(columns, [row[: len(columns)] for row in rows])


def _text(value: Any) -> str:
    return value if isinstance(value, str) else json_module.dumps(value)
