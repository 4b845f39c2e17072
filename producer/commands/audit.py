"""`regioncap audit`."""

from __future__ import annotations

from typing import TYPE_CHECKING, Annotated

import typer

from producer.context import client_of, emit, emit_model, say
from producer.options import JobArgument

if TYPE_CHECKING:
    from regioncap.client import Client
    from regioncap.job import Summary
    from regioncap.jobs.audits import JobAudit

_SHOWN_CHARS = 100


def audit_command(
    context: typer.Context,
    job_id: JobArgument,
    json: Annotated[bool, typer.Option("--json", help="The report as one JSON object.")] = False,
    findings: Annotated[
        bool, typer.Option("--findings", help="Every finding instead, as JSON Lines.")
    ] = False,
) -> None:
    """Look for captions that are cut off, repeated, refused or about the mark."""
    from regioncap.jobs import catalogue, results
    from regioncap.outputs.audit import Auditor

    client = client_of(context)
    job = client.load(job_id)
    before = catalogue.find_success(client.store, job_id)
    auditor = Auditor(job)
    for record in results.read(client.store, job):
        for finding in auditor.look(record):
            if findings:
                emit_model(finding)
    report = auditor.report()
    _keep(client, report, before)
    if json and not findings:
        emit_model(report)
    elif not findings:
        _print(report)
    if report.records < job.records:
        say(f"the job is not finished: {report.records:,} of {job.records:,} records so far")


def _keep(client: Client, report: JobAudit, before: Summary | None) -> None:
    """Keeps what was found of a finished job, unless its results changed meanwhile."""
    from regioncap.errors import StoreError
    from regioncap.jobs import audits, catalogue

    after = catalogue.find_success(client.store, report.job)
    if before is None or after is None or before.finished != after.finished:
        return
    report.finished = after.finished
    try:
        audits.keep(client.store, report)
    except StoreError as error:
        say(f"not kept for status and gallery: {error.message}")


def _print(report: JobAudit) -> None:
    emit(
        f"{report.regions:,} regions in {report.records:,} records ({report.failed:,} failed); "
        f"{report.regions_flagged:,} flagged ({_share(report.regions_flagged, report.regions)}), "
        f"{report.near_duplicates:,} near duplicates"
    )
    for flag, count in report.flags.items():
        emit(f"\n{flag}: {count:,} ({_share(count, report.regions)})")
        for example in report.examples:
            if example.flag == flag:
                name = example.index if example.id is None else example.id
                what = f"  [{example.detail}]" if example.detail else ""
                emit(f"  record {name}, region {example.region}{what}  {_short(example.caption)}")
    if report.duplicate_groups:
        emit("\nsaid most often, or nearly so")
        for group in report.duplicate_groups:
            emit(f"  {group.count:,} times, first in {group.first}: {_short(group.caption)}")


def _share(part: int, whole: int) -> str:
    return f"{part / whole:.1%}" if whole else "none"


def _short(caption: str | None) -> str:
    text = " ".join((caption or "").split())
    return text if len(text) <= _SHOWN_CHARS else text[: _SHOWN_CHARS - 3] + "..."
