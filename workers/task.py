"""A Celery task as the delivery of a shard."""

from __future__ import annotations

from celery import Task
from celery.exceptions import Reject

from workers.shards import Delivery, GoesBack, Shards, Work


def run_shard(shards: Shards, task: Task, job: str, shard: int, work: Work) -> None:
    """Runs the shard that a task names; one that goes back is given back by Celery.

    Args:
        shards: Runs it.
        task: The bound task that Celery has called.
        job: The job.
        shard: The shard.
        work: Does it.
    """
    try:
        shards.run(delivery_of(task, job, shard), work)
    except GoesBack as reason:
        raise Reject(str(reason), requeue=True) from None


def delivery_of(task: Task, job: str, shard: int) -> Delivery:
    """What Celery tells of the message behind a task."""
    told = task.request.delivery_info
    return Delivery(
        job=job,
        shard=shard,
        tag=task.request.properties["delivery_tag"],
        is_redelivered=bool(told.get("redelivered")),
        queue=told["routing_key"],
    )
