"""The sender: asks for a stage of shards, which follow into its queue when it is their turn."""

from __future__ import annotations

import time
from collections.abc import Callable, Collection

import redis

from regioncap.errors import QueueError
from regioncap.job import Job
from regioncap.records import Stage
from regioncap.services import due
from regioncap.services.feeder import Feeder
from regioncap.services.messages import RENDER
from regioncap.settings import Settings


class Sender:
    """Has shards follow into their queues.

    Args:
        client: The Redis that carries the queue.
        settings: How many shards of a job may be on their way at a time.
        clock: Seconds, never going back.
    """

    def __init__(
        self,
        client: redis.Redis,
        settings: Settings,
        clock: Callable[[], float] = time.monotonic,
    ) -> None:
        self._redis = client
        self._window_shards = settings.window_shards
        self._feeder = Feeder(client, clock)

    def render(self, job: Job, shards: Collection[int]) -> None:
        """Asks for the render stage of shards."""
        self._send("render", RENDER, job, shards)

    def caption(self, job: Job, shards: Collection[int]) -> None:
        """Asks for the caption stage of shards, in the queue that the job names."""
        self._send("caption", job.settings.queue, job, shards)

    def _send(self, stage: Stage, queue: str, job: Job, shards: Collection[int]) -> None:
        due.note(self._redis, job, stage, shards, self._window_shards)
        try:
            self._feeder.feed(queue)
        except QueueError as error:
            # Who may only submit leaves that to the workers, who look each second.
            if error.code != "queue-refused":
                raise
