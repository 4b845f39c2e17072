"""`regioncap status` and `jobs`."""

from __future__ import annotations

from collections.abc import Iterable
from pathlib import Path
from typing import TYPE_CHECKING, Annotated

import typer

from producer import words
from producer.context import client_of, emit_model, job_of, say
from producer.options import JobArgument
from producer.tables import show_facts, show_table
from regioncap.errors import ServiceError
from regioncap.plurals import counted

if TYPE_CHECKING:
    from regioncap.client import Client
    from regioncap.job import Job
    from regioncap.jobs.status import JobStatus


def status_command(
    context: typer.Context,
    job_id: JobArgument = None,
    json: Annotated[bool, typer.Option("--json", help="JSON, one object.")] = False,
) -> None:
    """Show how far a job is, and what to do next."""
    client = client_of(context)
    job = job_of(client, job_id)
    status = client.status_of(job)
    if json:
        emit_model(status)
        return
    show_facts(_facts(status, job))
    tell_of_missing_workers(client, job, status)
    tell_advice(client, job, status)


def jobs_command(
    context: typer.Context,
    json: Annotated[bool, typer.Option("--json", help="JSON, one object a job.")] = False,
    limit: Annotated[int, typer.Option(help="How many, the newest first.", min=1)] = 10,
) -> None:
    """List the recent jobs with their names."""
    found = client_of(context).jobs(limit + 1)
    statuses = found[:limit]
    if json:
        for status in statuses:
            emit_model(status)
    elif statuses:
        show_jobs(statuses)
    else:
        say("no jobs yet; submit one: regioncap submit my.jsonl")
    if len(found) > limit:
        say(f"there are older ones: regioncap jobs --limit {10 * limit}")


def tell_advice(client: Client, job: Job, status: JobStatus | None = None) -> None:
    """Says what can be done next about a job."""
    from regioncap.jobs.advice import advice

    for line in advice(status or client.status_of(job), job):
        say(line)


def tell_of_missing_workers(client: Client, job: Job, status: JobStatus | None = None) -> None:
    """Tells which workers an unfinished job lacks: nobody serves its queue."""
    from regioncap.services import presence

    queue = job.settings.queue
    try:
        if (status or client.status_of(job)).rests:
            return
        missing = presence.unserved(client.redis, queue)
    except ServiceError:
        return  # what comes next says so
    starting = _starting(client) if missing else ()
    for kind in missing:
        if ("render" if kind == "render" else queue) in starting:
            say(f"the {kind} worker is still starting, and the job waits for it")
            continue
        where = f" on queue {queue}" if kind == "caption" else ""
        command = presence.start_command(kind, queue)
        say(f"no {kind} worker{where}, so the job waits; start one: {command}")


def _starting(client: Client) -> tuple[str, ...]:
    """The queues whose workers the stack here, or above, is about to start."""
    from regioncap.running_stack import find_stack, folder_above
    from regioncap.settings import STACK_FOLDER

    folder = folder_above(Path(), STACK_FOLDER)
    stack = None if folder is None else find_stack(folder / STACK_FOLDER)
    broker_url = client.settings.broker_url.get_secret_value()
    if stack is None or stack.settings.get("broker_url") != broker_url:
        return ()
    return stack.starting


def show_jobs(statuses: Iterable[JobStatus]) -> None:
    """Writes a table of jobs, a line each."""
    show_table(_COLUMNS, map(_row, statuses))


_COLUMNS = ("JOB", "STATE", "RECORDS", "DONE", "FAILED", "CREATED", "NAME")


def _row(status: JobStatus) -> tuple[str, ...]:
    return (
        status.job,
        status.state,
        f"{status.records:,}",
        f"{100 * status.done // max(1, status.records)}%",  # rounded down: 100% means all
        f"{status.failed:,}",
        words.ago(status.created),
        status.name,
    )


def _facts(status: JobStatus, job: Job) -> dict[str, str]:
    done = f"{status.done:,} of {status.records:,} done, {status.failed:,} failed"
    tokens = f"{status.prompt_tokens:,} read, {status.completion_tokens:,} written"
    facts = {
        "job": status.job,
        "name": status.name,
        "labels": ", ".join(f"{key}={value}" for key, value in status.labels.items()),
        "state": status.state,
        "waits": "; ".join(words.waits(status.waits)),
        "to follow": f"{counted(status.shards_to_follow, 'shard')} of {job.shards:,} are not"
        " queued yet: they follow as those before them get done"
        if status.shards_to_follow
        else "",
        "records": done,
        "regions": ", ".join(
            [f"{status.regions_ok:,} of {status.regions:,} captioned", *_lacking(status)]
        ),
        "tokens": tokens if status.prompt_tokens else "",
        **_sums(status),
        "audit": status.audit.line() if status.audit else "",
        "key": job.key,
        "source": job.source,
        "queue": job.settings.queue,
        "priority": job.settings.priority if job.settings.priority != "normal" else "",
        "created": f"{status.created:%Y-%m-%d %H:%M:%S} UTC, {words.ago(status.created)}",
        "took": words.took(status.worked_s) if status.worked_s is not None else "",
        "results": status.results,
    }
    return {name: value for name, value in facts.items() if value}


def _lacking(status: JobStatus) -> list[str]:
    """Why regions have no caption: `2 invalid`."""
    found = status.sums.regions_by_status if status.sums else {}
    return [f"{count:,} {name}" for name, count in found.items() if count and name != "ok"]


def _sums(status: JobStatus) -> dict[str, str]:
    """What a job came to; nothing of what it has none of."""
    sums = status.sums
    if sums is None:
        return {}
    price, quality = sums.price_per_1000_regions, sums.quality
    lengths = ", ".join(f"{name} {count:,}" for name, count in quality.caption_words.items())
    return {
        "words": f"of a caption: {lengths}" if lengths else "",
        "verified": f"{counted(quality.verified, 'caption')}, {quality.refuted:,} found wrong"
        if quality.verified or quality.refuted
        else "",
        "repeated": f"{counted(quality.repeated, 'caption')}" if quality.repeated else "",
        "reused": f"{counted(sums.reused, 'record')}" if sums.reused else "",
        "GPU time": f"{sums.gpu_seconds:,.1f} s" if sums.gpu_seconds else "",
        "speed": words.speed(sums.valid_regions_per_s, "regions") if status.regions_ok else "",
        "price": f"{price:.3g} per 1,000 regions" if price is not None else "",
    }


def summary_line(status: JobStatus) -> str:
    """One line for people."""
    return "  ".join([*status.parts(), *words.waits(status.waits[:1])])
