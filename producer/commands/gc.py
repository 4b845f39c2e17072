"""`regioncap gc`: finds and removes old jobs and unused pictures."""

from __future__ import annotations

import re
from datetime import timedelta
from typing import TYPE_CHECKING, Annotated

import typer

from producer import words
from producer.context import client_of, emit_json, job_of, say
from producer.tables import show_table
from regioncap.errors import QueueError, UsageError

if TYPE_CHECKING:
    from regioncap.client import Client
    from regioncap.jobs.garbage import Rubbish, Search

_UNITS_S = {"h": 3600, "d": 86_400, "w": 7 * 86_400}


def gc_command(
    context: typer.Context,
    job_ids: Annotated[
        list[str] | None,
        typer.Argument(
            metavar="JOB",
            help="These ended jobs alone, whatever their age: ids, beginnings of ids, or names.",
        ),
    ] = None,
    older_than: Annotated[
        str | None, typer.Option(help="All that is so old: 30d, 12h or 8w.")
    ] = None,
    marked: Annotated[
        bool, typer.Option("--marked", help="Only marked pictures; jobs stay with their results.")
    ] = False,
    delete: Annotated[bool, typer.Option("--delete", help="Remove it; else it is shown.")] = False,
    as_json: Annotated[bool, typer.Option("--json", help="JSON, one object a finding.")] = False,
) -> None:
    """Find jobs that ended long ago, or are named, and pictures that no job needs any more.

    Give either JOB or --older-than.
    """
    from regioncap.job import now
    from regioncap.jobs.garbage import Search

    if bool(job_ids) == (older_than is not None):
        raise typer.BadParameter("give either JOB... or --older-than AGE")
    age = timedelta(0) if older_than is None else _age(older_than)
    client = client_of(context)
    search = Search(client.store, now(), age, marked_only=marked)
    found: list[Rubbish] = []
    for rubbish in _named(client, search, job_ids) if job_ids else search.run():
        found.append(rubbish)
        if as_json:
            emit_json(_fields(rubbish))
        if delete:
            _delete(client, rubbish)
    if found and not as_json:
        show_table(("WHAT", "NAME", "OBJECTS", "SIZE", "SINCE"), map(_row, found))
    if not found:
        say("there is nothing to remove")
        return
    size = words.size(sum(rubbish.size_bytes for rubbish in found))
    say(f"{size} removed" if delete else f"{size} could go; --delete removes it")
    if job_ids and not marked:
        say(
            "the pictures that were submitted are not among it, as other jobs may need them;"
            " regioncap gc --older-than AGE finds those that no job needs"
        )


def _named(client: Client, search: Search, wanted: list[str]) -> list[Rubbish]:
    """Of named jobs; each is looked up, and asked whether it has ended, before the first goes."""
    jobs = {job.job: job for job in (job_of(client, each, to_change=True) for each in wanted)}
    return [each for each in map(search.named, jobs.values()) if each is not None]


def _age(text: str) -> timedelta:
    match = re.fullmatch(r"(\d{1,5})([hdw])", text)
    if not match:
        raise UsageError(f"{text!r} is no age", code="bad-age", hint="give 30d, 12h or 8w")
    return timedelta(seconds=int(match[1]) * _UNITS_S[match[2]])


def _delete(client: Client, rubbish: Rubbish) -> None:
    rubbish.remove()
    if rubbish.kind == "job":
        try:
            client.progress(rubbish.name).drop()
        except QueueError as error:
            say(f"the progress of {rubbish.name} stays in Redis: {error.message}")


def _fields(rubbish: Rubbish) -> dict[str, object]:
    return {
        "kind": rubbish.kind,
        "name": rubbish.name,
        "objects": rubbish.objects,
        "bytes": rubbish.size_bytes,
        "since": rubbish.since and rubbish.since.isoformat(),
    }


def _row(rubbish: Rubbish) -> tuple[str, ...]:
    since = words.ago(rubbish.since) if rubbish.since else ""
    return (
        rubbish.kind, rubbish.name, f"{rubbish.objects:,}", words.size(rubbish.size_bytes), since,
    )  # fmt: skip
