"""How jobs take turns: a small one behind a large one, and what submitting many shards costs.

python -m bench.turns [--records 3000] [--shards 60000] [--json FILE]

behind    seconds until a job of 8 records ends that is submitted while a large one runs: against
          the same alone, and against the time that the large one takes from then on, which is what
          a job waits that is done after it
submit    seconds and bytes of Redis for each shard of a large job, against a message for each
"""

from __future__ import annotations

import argparse
import tempfile
import time
from datetime import UTC, datetime
from itertools import cycle, islice
from pathlib import Path
from typing import Any

import redis

from bench import as_command, report
from bench.latency import inputs
from producer.commands.stack import start_workers
from regioncap import keys
from regioncap.client import Client
from regioncap.job import Job
from regioncap.local import LocalStack
from regioncap.services import due
from regioncap.services.queue import RENDER, RENDER_TASK, make_app
from regioncap.settings import JobSettings, load_settings

SMALL = 8
_PICTURES = 40
#: Messages that are sent one by one; their cost for each does not depend on their number.
_MESSAGES = 5_000


def behind(stack: LocalStack, folder: Path, count: int) -> dict[str, float]:
    """Seconds of a small job alone, behind a large one, and of the rest of the large one."""
    client = Client(load_settings(**stack.settings()))
    start_workers(stack, client.settings, render_workers=1, caption_workers=1)
    pictures = inputs(folder, _PICTURES)

    def seconds(records: int) -> tuple[str, float]:
        started = time.perf_counter()
        job = client.submit(islice(cycle(pictures), records), image_root=folder)
        if records == SMALL:
            client.wait(job, poll_s=0.1)
        return job, time.perf_counter() - started

    seconds(SMALL)  # warm
    _, alone_s = seconds(SMALL)
    large, _ = seconds(count)
    while client.status(large).shards_done < 2:
        time.sleep(0.1)
    began = time.perf_counter()
    _, behind_s = seconds(SMALL)
    client.wait(large)
    return {"alone_s": alone_s, "behind_s": behind_s, "rest_s": time.perf_counter() - began}


def submit(stack: LocalStack, shards: int) -> dict[str, float]:
    """Seconds and bytes of Redis for a shard, noted with all of its job and sent by itself."""
    client = Client(load_settings(**stack.settings()))
    job = Job(
        job=keys.new_job_id(),
        created=datetime.now(UTC),
        records=shards,
        shards=shards,
        settings=JobSettings(shard_size=1),
    )
    client.redis.flushall()
    before, started = _memory(client.redis), time.perf_counter()
    client.sender.render(job, range(shards))
    noted_s, noted_bytes = time.perf_counter() - started, _memory(client.redis) - before
    due.drop(client.redis, job.job)
    client.redis.delete(RENDER)

    app = make_app(client.settings)
    before, started = _memory(client.redis), time.perf_counter()
    with app.producer_pool.acquire(block=True) as producer:
        for shard in range(_MESSAGES):
            told = {"job": job.job, "shard": shard}
            app.send_task(RENDER_TASK, kwargs=told, queue=RENDER, producer=producer)
    sent_s, sent_bytes = time.perf_counter() - started, _memory(client.redis) - before
    client.redis.flushall()
    return {
        "noted_s": noted_s,
        "noted_bytes_per_shard": noted_bytes / shards,
        "sent_s": sent_s / _MESSAGES * shards,
        "sent_bytes_per_shard": sent_bytes / _MESSAGES,
    }


def _memory(client: redis.Redis) -> int:
    info: dict[str, Any] = client.info("memory")
    return int(info["used_memory"])


def measure(options: argparse.Namespace) -> dict[str, Any]:
    """All figures."""
    with tempfile.TemporaryDirectory() as name, LocalStack(Path(name) / "stack") as stack:
        submitted = submit(stack, options.shards)
        waited = behind(stack, Path(name), options.records)
    return {"behind": waited, "submit": submitted}


def main() -> None:
    """Prints the figures."""
    options = report.parser(__doc__, records=3_000, shards=60_000).parse_args()
    figures = measure(options)
    waited, found = figures["behind"], figures["submit"]
    print(
        f"{SMALL} records alone {waited['alone_s']:.1f} s; behind {options.records:,}"
        f" {waited['behind_s']:.1f} s, {waited['behind_s'] / waited['alone_s']:.1f} times that;"
        f" after them it were {waited['rest_s']:.0f} s,"
        f" {waited['rest_s'] / waited['behind_s']:.0f} times as long"
    )
    print(
        f"{options.shards:,} shards noted in {found['noted_s']:.3f} s,"
        f" {found['noted_bytes_per_shard']:.2f} bytes of Redis each; a message for each"
        f" {found['sent_s']:.0f} s, {found['sent_bytes_per_shard']:,.0f} bytes:"
        f" {found['sent_s'] / found['noted_s']:,.0f} and"
        f" {found['sent_bytes_per_shard'] / found['noted_bytes_per_shard']:,.0f} times as much"
    )
    report.save(options, "turns", figures)


if __name__ == "__main__":
    as_command(main)
