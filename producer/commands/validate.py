"""`regioncap validate`."""

from __future__ import annotations

import sys
from collections.abc import Iterator
from contextlib import closing
from pathlib import Path
from typing import TYPE_CHECKING, Annotated, Any, NamedTuple

import typer

from producer.context import emit, emit_json, say, settings_of
from producer.meter import meter
from producer.options import ImageRoot, setting_options
from regioncap.plurals import counted

if TYPE_CHECKING:
    from regioncap.errors import UsageError
    from regioncap.inputs.source import Source, Target
    from regioncap.inputs.totals import Totals
    from regioncap.inputs.validate import Checked
    from regioncap.settings import Settings

_EXIT_INVALID = 2


@setting_options("box_format", "boxes_of", "propose")
def validate_command(
    context: typer.Context,
    files: Annotated[
        list[str],
        typer.Argument(metavar="FILE", help="JSON Lines, pictures, folders, data sets, or -."),
    ],
    image_root: ImageRoot = None,
    deep: Annotated[
        bool, typer.Option("--deep", help="Decode every picture, not its header alone.")
    ] = False,
    limit: Annotated[
        int,
        typer.Option(
            help="Most examples shown of each problem; 0 shows all. All are counted.", min=0
        ),
    ] = 3,
    json: Annotated[
        bool, typer.Option("--json", help="JSON, one object a problem, and last the totals.")
    ] = False,
    **flags: Any,
) -> None:
    """Find every mistake in an input before it is submitted; needs no services."""
    from regioncap.inputs.source import grouped

    settings = settings_of(context, **flags)
    problems = False
    for file in grouped(files):
        found = check_file(file, settings, root=image_root, limit=limit, json=json, deep=deep)
        problems = problems or bool(found.totals.problems)
        if found.refused is not None:
            say(f"submit refuses it as it is ({found.refused.hint})")
    if problems:
        raise typer.Exit(_EXIT_INVALID)


class Looked(NamedTuple):
    """What was found of an input."""

    totals: Totals
    #: Why `submit` refuses it; None if it is taken.
    refused: UsageError | None


def check_file(
    target: Target,
    settings: Settings,
    *,
    root: Path | None,
    limit: int = 3,
    json: bool = False,
    deep: bool = False,
) -> Looked:
    """Checks an input: says what it was read as, its problems, and how many there are."""
    from regioncap.inputs.judgement import check_reading, refusal
    from regioncap.inputs.report import describe, more_of
    from regioncap.inputs.source import no_records, open_source
    from regioncap.inputs.totals import Totals
    from regioncap.inputs.validate import JUDGED

    totals, refused = Totals(shown=limit or None), None
    with open_source(target, sys.stdin.buffer, root, settings) as source:
        for checked in _checked(source, settings, totals, deep=deep):
            if json:
                for finding in checked.findings:
                    emit_json(finding.as_json())
            if totals.records == JUDGED:
                refused = refusal(totals, settings)
    if not totals.records:
        raise no_records(source.name)
    if json:
        emit_json(totals.as_json(source.reading))
    else:
        for line in describe(totals, source.reading, settings):
            say(line)
        for code in totals.problems:
            for line in totals.examples[code].examples:
                emit(line)
            for line in more_of(totals, code, settings):
                say(f"{line}; --limit 0 shows all" if line.startswith("...") else line)
    sys.stdout.flush()
    tell_totals(totals)
    check_reading(source, settings)
    if totals.records < JUDGED:
        refused = refusal(totals, settings)
    return Looked(totals, refused)


def _checked(
    source: Source, settings: Settings, totals: Totals, *, deep: bool
) -> Iterator[Checked]:
    from regioncap.inputs.validate import Checker
    from regioncap.parallel import map_ahead
    from regioncap.records import InputRecord

    checker = Checker(settings, source.root, source.name, source.image_root, deep=deep)

    def check(record: InputRecord) -> Checked:
        checked = checker.check(record)
        record.picture = None  # not needed any more, and perhaps large
        return checked

    checks = map_ahead(check, source.records, size_bytes=InputRecord.held_bytes)
    with meter("checking", "records") as bar, closing(checks) as stream:
        for checked in stream:
            totals.add(checked)
            bar.show(source.fraction(), totals.records)
            yield checked


def tell_totals(totals: Totals) -> None:
    """Says how many problems there are."""
    if not totals.problems:
        say(f"{counted(totals.records, 'record')}, no problems")
        return
    codes = ", ".join(f"{number:,} {code}" for code, number in totals.problems.most_common())
    say(
        f"{counted(totals.problems.total(), 'problem')} in {totals.flawed:,} of "
        f"{counted(totals.records, 'record')} ({codes})"
    )
    if totals.failing:
        say(f"{counted(totals.failing, 'error record')} would come out")
