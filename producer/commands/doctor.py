"""`regioncap doctor`."""

from __future__ import annotations

import json as json_module
from typing import Annotated

import typer

from producer.context import Services, emit, say

_SIGNS = {"ok": "ok  ", "warn": "warn", "fail": "FAIL"}
_EXIT_SERVICE = 4


def register(app: typer.Typer) -> None:
    """Adds the command."""
    app.command("doctor")(doctor_command)


def doctor_command(
    context: typer.Context,
    json: Annotated[bool, typer.Option("--json", help="JSON, one object a check.")] = False,
) -> None:
    """Check everything that this configuration needs, and say what to do."""
    from regioncap.checks import run_checks

    services: Services = context.obj
    failed = 0
    for check in run_checks(services.settings):
        failed += check.status == "fail"
        if json:
            emit(json_module.dumps(check._asdict()))
        else:
            emit(f"{_SIGNS[check.status]}  {check.name:18} {check.what}")
            if check.remedy:
                emit(f"{'':6}{'':18} -> {check.remedy}")
    if failed:
        say(f"{failed} of what is needed is missing")
        raise typer.Exit(_EXIT_SERVICE)
