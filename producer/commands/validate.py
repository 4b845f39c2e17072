"""`regioncap validate`."""

from __future__ import annotations

import sys
from collections.abc import Iterator
from contextlib import closing
from pathlib import Path
from typing import TYPE_CHECKING, Annotated, Any

import typer

from producer import words
from producer.context import emit, emit_json, say, settings_of
from producer.meter import meter
from producer.options import ImageRoot, setting_options

if TYPE_CHECKING:
    from regioncap.inputs.validate import Checked, Totals
    from regioncap.settings import Settings

_EXIT_INVALID = 2
_SHOWN = 20


@setting_options("box_format")
def validate_command(
    context: typer.Context,
    files: Annotated[
        list[str], typer.Argument(metavar="FILE...", help="JSON Lines, pictures, folders, or -.")
    ],
    image_root: ImageRoot = None,
    limit: Annotated[
        int | None,
        typer.Option(
            help="Most problems shown [20; with --json all]; 0 shows all. All are counted.", min=0
        ),
    ] = None,
    json: Annotated[
        bool, typer.Option("--json", help="JSON, one object a problem, and last the totals.")
    ] = False,
    **flags: Any,
) -> None:
    """Find every mistake in an input before it is submitted; needs no services."""
    settings = settings_of(context, **flags)
    totals = check_files(files, settings, root=image_root, limit=limit, json=json)
    tell_totals(totals)
    if totals.problems:
        raise typer.Exit(_EXIT_INVALID)


def check_files(
    targets: list[str],
    settings: Settings,
    *,
    root: Path | None,
    limit: int | None = None,
    json: bool = False,
) -> Totals:
    """Checks inputs and writes their problems; returns what was found of all."""
    from regioncap.inputs.validate import Totals

    totals, shown = Totals(), 0
    if limit is None:
        limit = 0 if json else _SHOWN
    for target in targets:
        for checked in _checked(target, settings, root, totals):
            for finding in checked.findings:
                shown += 1
                if limit and shown > limit:
                    continue
                if json:
                    emit_json(finding.as_json())
                else:
                    emit(str(finding))
    sys.stdout.flush()
    if json:
        emit_json(totals.as_json())
    if limit and shown > limit:
        say(f"... and {shown - limit:,} more; --limit 0 shows all")
    return totals


def _checked(
    target: str, settings: Settings, root: Path | None, totals: Totals
) -> Iterator[Checked]:
    from regioncap.inputs.source import no_records, open_source
    from regioncap.inputs.validate import Checker
    from regioncap.parallel import map_ahead
    from regioncap.records import InputRecord

    before = totals.records
    with open_source(target, sys.stdin.buffer, root) as source, meter("checking", "records") as bar:
        checker = Checker(settings, source.root, source.name)
        checks = map_ahead(checker.check, source.records, size_bytes=InputRecord.held_bytes)
        with closing(checks) as stream:
            for checked in stream:
                totals.add(checked)
                bar.show(source.fraction(), totals.records)
                yield checked
    if totals.records == before:
        raise no_records(target)


def tell_totals(totals: Totals) -> None:
    """Says what was found of all records."""
    if not totals.problems:
        say(f"{words.count(totals.records, 'record')}, no problems")
        return
    codes = ", ".join(f"{number:,} {code}" for code, number in totals.problems.most_common())
    say(
        f"{words.count(totals.problems.total(), 'problem')} in {totals.flawed:,} of "
        f"{words.count(totals.records, 'record')} ({codes})"
    )
    if totals.failing:
        say(f"{words.count(totals.failing, 'error record')} would come out")
