"""The queue: a Celery app without surprises, for the two messages that go through it.

A message names a job and a shard and carries nothing else; `regioncap.services.due` has them sent.
There is no result backend: results are objects in the store.
"""

from __future__ import annotations

from typing import Any

from celery import Celery
from kombu import Queue

from regioncap.services.broker import address
from regioncap.services.channel import use_channel
from regioncap.services.messages import CAPTION, CAPTION_TASK, RENDER, RENDER_TASK
from regioncap.settings import Settings

__all__ = ["CAPTION", "CAPTION_TASK", "RENDER", "RENDER_TASK", "make_app"]


def make_app(settings: Settings, *, name: str = "regioncap", **conf: Any) -> Celery:
    """A Celery app on the configured Redis.

    Args:
        settings: Where Redis is, and how long a silent worker keeps its shards.
        name: Name of the app.
        conf: Further Celery settings.
    """
    use_channel()
    app = Celery(name, broker=address(settings))
    app.conf.update(
        task_serializer="json",
        accept_content=["json"],
        task_ignore_result=True,
        task_store_errors_even_if_ignored=False,
        task_acks_late=True,
        task_reject_on_worker_lost=True,
        # By default a shard that ran out of time would count as dealt with.
        task_acks_on_timeout=False,
        worker_prefetch_multiplier=1,
        # Listening for commands blocks the loop that takes messages, for good at worst, when Redis
        # comes back after a crash; and whoever reaches Redis could tell workers to stop.
        worker_enable_remote_control=settings.remote_control,
        worker_hijack_root_logger=False,
        worker_redirect_stdouts=False,
        worker_cancel_long_running_tasks_on_connection_loss=False,
        broker_connection_retry_on_startup=True,
        broker_connection_max_retries=None,
        broker_transport_options=transport_options(settings),
        task_queues=[Queue(RENDER), Queue(settings.queue)],
        task_default_queue=RENDER,
        task_publish_retry_policy={"max_retries": 3, "interval_step": 0.5, "interval_max": 2},
    )
    app.conf.update(conf)
    return app


def transport_options(settings: Settings) -> dict[str, Any]:
    """What every client of the broker must be told; the shortest visibility timeout rules."""
    timeout_s = settings.visibility_timeout_s
    return {
        "visibility_timeout": timeout_s,
        # kombu looks for abandoned messages every interval x throttle seconds; its default of
        # 100 s would double the time to recovery.
        "unacked_restore_interval": max(1, int(timeout_s // 6)),
        "unacked_restore_throttle": 1,
        # A worker killed during the search must not block the others' for five minutes.
        "unacked_mutex_expire": max(5, int(timeout_s // 2)),
        # A connection that died unnoticed is found out after about twice this.
        "health_check_interval": max(5, min(25, int(timeout_s // 6))),
        "socket_timeout": 30,
        "socket_connect_timeout": 5,
        "socket_keepalive": True,
        "retry_on_timeout": True,
    }
