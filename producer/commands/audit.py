"""`regioncap audit`."""

from __future__ import annotations

from typing import TYPE_CHECKING, Annotated

import typer

from producer.commands.status import tell_advice
from producer.context import client_of, emit, emit_model, job_of, say
from producer.options import JobArgument
from regioncap.plurals import counted

if TYPE_CHECKING:
    from regioncap.jobs.audits import JobAudit

_SHOWN_CHARS = 100
#: What the detail of a flag is, where the caption does not show it.
_DETAILS = {
    "repeats-region": "as of region",
    "near-duplicate": "nearly as of record/region",
    "refuted": "found true of region",
    "other-language": "looks like",
    "too-short": "of",
    "too-long": "of",
    "speaks-of-mark": "says:",
    "empty": "because:",
}


def audit_command(
    context: typer.Context,
    job_id: JobArgument = None,
    json: Annotated[bool, typer.Option("--json", help="The report as one JSON object.")] = False,
    findings: Annotated[
        bool, typer.Option("--findings", help="Every finding instead, as JSON Lines.")
    ] = False,
) -> None:
    """Look for captions that are cut off, repeated, refused or about the mark."""
    client = client_of(context)
    job = job_of(client, job_id)
    report = client.audit(job, emit_model if findings else lambda _: None)
    if json and not findings:
        emit_model(report)
    elif not findings:
        _print(report)
    if report.records < job.records:
        say(f"so far: {report.records:,} of {counted(job.records, 'record')}")
        tell_advice(client, job)


def _print(report: JobAudit) -> None:
    emit(
        f"{counted(report.regions, 'region')} asked about in {counted(report.records, 'record')}, "
        f"{report.failed:,} failed; {report.line()}"
    )
    for flag, count in report.flags.items():
        emit(f"\n{flag}: {count:,} ({_share(count, report.regions)})")
        for example in report.examples:
            if example.flag == flag:
                name = example.index if example.id is None else example.id
                is_said = flag in _DETAILS and example.detail
                what = f", {_DETAILS[flag]} {example.detail}" if is_said else ""
                emit(f"  record {name}, region {example.region}{what}  {_short(example.caption)}")
    if report.duplicate_groups:
        emit("\nsaid most often, or nearly so")
        for group in report.duplicate_groups:
            emit(
                f"  {counted(group.count, 'time')}, first in {group.first}: {_short(group.caption)}"
            )


def _share(part: int, whole: int) -> str:
    return f"{part / whole:.1%}" if whole else "none"


def _short(caption: str | None) -> str:
    text = " ".join((caption or "").split())
    return text if len(text) <= _SHOWN_CHARS else text[: _SHOWN_CHARS - 3] + "..."
