"""What waits in a queue and for how long, read from a real Redis as Celery leaves it."""

from __future__ import annotations

import json
from datetime import UTC, datetime, timedelta

import redis

from regioncap import keys
from regioncap.services.backlog import Depth, shared_depths
from regioncap.services.broker import connect
from regioncap.services.queue import CAPTION_TASK, make_app
from regioncap.settings import load_settings


def test_depths_are_what_celery_sent(stack_settings: dict[str, str]) -> None:
    settings = load_settings(**stack_settings, queue="caption.depth")
    client = connect(settings)
    app = make_app(settings)
    old = f"{datetime.now(UTC) - timedelta(hours=1):%Y%m%d-%H%M%S}-aaaaaa"
    new = keys.new_job_id()
    for job in (old, new, new):
        app.send_task(CAPTION_TASK, kwargs={"job": job, "shard": 0}, queue="caption.depth")
    with app.connection() as connection, connection.SimpleQueue("caption.depth") as queue:
        message = queue.get(block=True)
        (found,) = shared_depths(client, ["caption.depth"]).values()
        assert (found.queued, found.unacked) == (2, 1)
        assert found.oldest_s < 60  # the old job's shard is in hand
        message.reject()
    # Within a few seconds everybody is told the same.
    assert shared_depths(client, ["caption.depth"])["caption.depth"] == found
    for key in client.scan_iter("regioncap:depths:*"):
        client.delete(key)
    client.rpush("caption.depth", json.dumps({"body": "not ours"}))
    assert shared_depths(client, ["caption.depth"])["caption.depth"] == Depth(3, 0, 0.0)
    client.delete("caption.depth")


def test_an_empty_queue_has_no_age(stack_settings: dict[str, str]) -> None:
    client: redis.Redis = connect(load_settings(**stack_settings))
    assert shared_depths(client, ["caption.empty"]) == {"caption.empty": Depth(0, 0, 0.0)}
