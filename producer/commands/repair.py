"""`regioncap cancel`, `retry` and `reconcile`."""

from __future__ import annotations

from typing import TYPE_CHECKING, Annotated

import typer

from producer import words
from producer.context import Services, emit, say

if TYPE_CHECKING:
    from regioncap.job import Job
    from regioncap.services.progress import Progress

JobArgument = Annotated[str, typer.Argument(metavar="JOB", help="The job.")]


def register(app: typer.Typer) -> None:
    """Adds the commands."""
    app.command("cancel")(cancel_command)
    app.command("retry")(retry_command)
    app.command("reconcile")(reconcile_command)


def cancel_command(context: typer.Context, job_id: JobArgument) -> None:
    """Stop a job; what is done stays."""
    from regioncap.jobs import catalogue
    from regioncap.jobs.cancel import cancel

    services: Services = context.obj
    job = catalogue.load(services.store, job_id)
    say("cancelled" if cancel(services.store, job) else "it is finished already")


def retry_command(
    context: typer.Context,
    job_id: JobArgument,
    flagged: Annotated[
        bool, typer.Option("--flagged", help="Those too whose captions `audit` flags.")
    ] = False,
) -> None:
    """Run the failed records of a finished job again, and nothing else."""
    from regioncap.jobs import catalogue, retry
    from regioncap.outputs.audit import flagged_indices

    services: Services = context.obj
    job = catalogue.load(services.store, job_id)
    chosen = flagged_indices(services.store, job) if flagged else set()
    before = catalogue.find_success(services.store, job.job)
    again = retry.begin(services.store, _progress(services, job), job, chosen)
    services.sender.render(job, sorted(again))
    failed = sum(len(shard.indices) for shard in again.values())
    if before and before.counts["failed"] > failed:
        stay = words.count(before.counts["failed"] - failed, "failed record")
        say(f"{stay} cannot be run again: mend these lines of the input and submit them")
    records = sum(len(shard.indices | shard.flagged) for shard in again.values())
    if not records:
        say("there is nothing to run again")
        return
    say(f"{words.count(records, 'record')} run again; watch it: regioncap watch {job.job}")


def reconcile_command(
    context: typer.Context,
    job_id: Annotated[str | None, typer.Argument(metavar="JOB", help="One job.")] = None,
) -> None:
    """Rebuild the queue and the progress from the object store alone."""
    from regioncap import keys
    from regioncap.errors import NewerFormatError, NotFoundError
    from regioncap.jobs import catalogue
    from regioncap.jobs.reconcile import reconcile

    services: Services = context.obj
    open_keys = services.store.list_keys(keys.OPEN)
    ids = [job_id] if job_id else [key.removeprefix(keys.OPEN) for key in open_keys]
    for each in ids:
        try:
            job = catalogue.load(services.store, each)
        except (NotFoundError, NewerFormatError) as error:
            if job_id:
                raise
            say(f"left out: {error}")  # being submitted, perhaps, or not ours to read
            continue
        done = reconcile(services.store, _progress(services, job), services.sender, job)
        emit(
            f"{each}  {done.state}  {len(done.render)} shards to render, "
            f"{len(done.caption)} to caption"
        )


def _progress(services: Services, job: Job) -> Progress:
    from regioncap.services.progress import Progress

    return Progress(services.redis, job.job)
