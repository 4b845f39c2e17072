"""`regioncap cancel`, `retry`, `verify` and `reconcile`."""

from __future__ import annotations

from typing import Annotated

import typer

from producer import words
from producer.context import client_of, emit, say
from producer.options import JobArgument


def cancel_command(context: typer.Context, job_id: JobArgument) -> None:
    """Stop a job, or the retry of a finished one; what is done stays."""
    from regioncap.jobs.cancel import cancel

    client = client_of(context)
    job = client.load(job_id)
    told = {
        "cancelled": "cancelled",
        "retry cancelled": "the retry is cancelled; the job is finished as it was",
        "finished": "it is finished already",
    }
    say(told[cancel(client.store, client.progress(job.job), job)])


def retry_command(
    context: typer.Context,
    job_id: JobArgument,
    flagged: Annotated[
        bool, typer.Option("--flagged", help="Those too whose captions `audit` flags.")
    ] = False,
    edited: Annotated[
        bool, typer.Option("--edited", help="Those too whose captions a person wrote.")
    ] = False,
) -> None:
    """Run the failed records of a finished job again, and nothing else."""
    from regioncap.jobs import catalogue, retry
    from regioncap.outputs.audit import flagged_indices

    client = client_of(context)
    job = client.load(job_id)
    chosen = flagged_indices(client.store, job) if flagged else set()
    before = catalogue.find_success(client.store, job.job)
    again = retry.begin(client.store, client.progress(job.job), job, chosen, edited=edited)
    client.sender.render(job, sorted(again))
    failed = sum(len(shard.indices) for shard in again.values())
    if before and before.counts["failed"] > failed:
        stay = words.count(before.counts["failed"] - failed, "failed record")
        say(f"{stay} cannot be run again: mend these lines of the input and submit them")
    records = sum(len(shard.indices | shard.flagged) for shard in again.values())
    if not records:
        say("there is nothing to run again")
        return
    say(f"{words.count(records, 'record')} run again; watch it: regioncap watch {job.job}")


def verify_command(
    context: typer.Context,
    job_id: JobArgument,
    again: Annotated[
        bool, typer.Option("--retry", help="Ask for captions again that are found wrong.")
    ] = False,
) -> None:
    """Ask the captions of a finished job back, and note which are found true of their region."""
    from regioncap.jobs import retry

    client = client_of(context)
    job = client.load(job_id)
    wishes = retry.begin(
        client.store, client.progress(job.job), job, verify="retry" if again else "mark"
    )
    client.sender.render(job, sorted(wishes))
    records = sum(len(shard.verify) for shard in wishes.values())
    if not records:
        say("there are no captions to verify")
        return
    say(f"{words.count(records, 'record')} asked back; watch it: regioncap watch {job.job}")


def reconcile_command(
    context: typer.Context,
    job_id: Annotated[str | None, typer.Argument(metavar="JOB", help="One job.")] = None,
) -> None:
    """Rebuild the queue and the progress from the object store alone."""
    from regioncap.jobs import catalogue
    from regioncap.jobs.reconcile import reconcile

    client = client_of(context)
    if job_id:
        jobs = iter([client.load(job_id)])
    else:  # those left out are being submitted, perhaps, or not ours to read
        ids = catalogue.open_ids(client.store)
        jobs = catalogue.load_each(client.store, ids, lambda _, error: say(f"left out: {error}"))
    for job in jobs:
        done = reconcile(client.store, client.progress(job.job), client.sender, job)
        emit(
            f"{job.job}  {done.state}  {len(done.render)} shards to render, "
            f"{len(done.caption)} to caption"
        )
