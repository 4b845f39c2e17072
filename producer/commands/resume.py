"""`regioncap resume`."""

from __future__ import annotations

from typing import Annotated

import typer

from producer.context import client_of, job_of, say
from producer.options import ChangedJob
from regioncap.plurals import counted


def resume_command(
    context: typer.Context,
    job_id: ChangedJob,
    max_gpu_seconds: Annotated[
        float, typer.Option(help="GPU time after which it pauses again, from its beginning.")
    ],
) -> None:
    """Have a job go on that paused as its limit of GPU time was reached."""
    client = client_of(context)
    job = job_of(client, job_id, to_change=True)
    status = client.status_of(job)
    if status.ended:
        say(f"there is nothing to go on with: the job is {status.state}")
        return
    found = client.resume(job, max_gpu_seconds)
    sent = counted(len(found.render) + len(found.caption), "shard")
    say(f"it goes on: {sent} queued; it pauses when {max_gpu_seconds:,g} GPU seconds are taken")
    say(f"watch it: regioncap watch {job.job}")
