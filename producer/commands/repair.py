"""`regioncap cancel`, `retry`, `verify` and `reconcile`."""

from __future__ import annotations

from typing import Annotated

import typer

from producer.commands.status import tell_advice
from producer.context import client_of, emit, job_of, say
from producer.options import ChangedJob
from regioncap.plurals import agree, counted


def cancel_command(context: typer.Context, job_id: ChangedJob) -> None:
    """Stop a job, or the retry of a finished one; what is done stays."""
    client = client_of(context)
    job = job_of(client, job_id, to_change=True)
    told = {
        "cancelled": "cancelled",
        "retry cancelled": "the retry is cancelled; the job is finished as it was",
        "finished": "it is finished already",
    }
    was_cancelled = client.status_of(job).state == "cancelled"
    outcome = client.cancel(job)
    say("it is cancelled already" if was_cancelled else told[outcome])
    if outcome == "cancelled":
        status = client.status_of(job)
        tell_advice(client, job, status)
        if status.shards_rendered or status.shards_done:
            say("shards that workers have in hand may still finish, and count as done then")


def retry_command(
    context: typer.Context,
    job_id: ChangedJob,
    flagged: Annotated[
        bool, typer.Option("--flagged", help="Those too whose captions `audit` flags.")
    ] = False,
    edited: Annotated[
        bool, typer.Option("--edited", help="Those too whose captions a person wrote.")
    ] = False,
    as_given: Annotated[
        bool,
        typer.Option("--all", help="Those too that failed for what they hold, which retry leaves."),
    ] = False,
) -> None:
    """Run the failed records of a finished job again, and nothing else."""
    client = client_of(context)
    job = job_of(client, job_id, to_change=True)
    again = client.retry(job, flagged=flagged, edited=edited, as_given=as_given)
    if not again.records:
        say("there is nothing to run again")
        return
    runs = agree(again.records, "runs", "run")
    say(f"{counted(again.records, 'record')} {runs} again; watch it: regioncap watch {job.job}")


def verify_command(
    context: typer.Context,
    job_id: ChangedJob,
    again: Annotated[
        bool, typer.Option("--retry", help="Ask for captions again that are found wrong.")
    ] = False,
) -> None:
    """Ask the captions of a finished job back, and note which are found true of their region."""
    client = client_of(context)
    job = job_of(client, job_id, to_change=True)
    asked = client.verify(job, retry=again)
    if not asked.records:
        say("there are no captions to verify")
        return
    are = agree(asked.records, "is", "are")
    say(
        f"the captions of {counted(asked.records, 'record')} {are} asked back; watch it:"
        f" regioncap watch {job.job}"
    )


def reconcile_command(
    context: typer.Context,
    job_id: Annotated[str | None, typer.Argument(metavar="JOB", help="One job.")] = None,
) -> None:
    """Rebuild the queue and the progress from the object store alone."""
    from regioncap.jobs import catalogue
    from regioncap.jobs.reconcile import reconcile

    client = client_of(context)
    if job_id:
        jobs = iter([job_of(client, job_id, to_change=True)])
    else:  # those left out are being submitted, perhaps, or not ours to read
        ids = catalogue.open_ids(client.store)
        jobs = catalogue.load_each(client.store, ids, lambda _, error: say(f"left out: {error}"))
    for job in jobs:
        done = reconcile(client.store, client.progress(job.job), client.sender, job)
        emit(
            f"{job.job}  {done.state}  {counted(len(done.render), 'shard')} to render, "
            f"{len(done.caption):,} to caption"
        )
