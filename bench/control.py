"""How many shards the control plane carries: Redis, Celery, leases, parts in the store.

    python -m bench.control [--shards 60] [--burst 1500] [--json FILE]

    scaling     1 to 8 caption workers whose engine waits as a GPU at 20 images/s would, against
                that many times 20 images/s
    burst       shards of one record and an engine that answers at once: all that these workers and
                one Redis can do, and how much of it was Redis's own time

A shard of a burst costs the queue what a shard of any size costs it. So the GPUs that one Redis can
feed follow from its time for a shard, the shard's size, and 20 images/s for each GPU.
"""

from __future__ import annotations

import argparse
import os
import tempfile
import time
from collections.abc import Iterator
from contextlib import contextmanager
from pathlib import Path
from typing import Any

import redis

from bench import as_command, copies, report
from bench.workers import caption_command
from regioncap.client import Client
from regioncap.job import Job
from regioncap.jobs import catalogue
from regioncap.local import LocalStack
from regioncap.services import due
from regioncap.services.presence import workers
from regioncap.services.queue import CAPTION
from regioncap.settings import load_settings

GPU_IMAGES_PER_S = 20.0
WORKERS = (1, 2, 4, 8)
SIZES = (32, 256)
_READY_S = 120.0


@contextmanager
def waiting_workers(
    stack: LocalStack, client: Client, count: int, **environment: float
) -> Iterator[None]:
    """Caption workers with the waiting engine, ready for work."""
    assert stack.supervisor is not None
    told = {f"BENCH_{key.upper()}": str(value) for key, value in environment.items()}
    children = [
        stack.supervisor.start(caption_command(stack, "bench.waiting", f"waiting-{n}", told))
        for n in range(count)
    ]
    deadline = time.monotonic() + _READY_S
    while len(workers(client.redis)) < count:
        if time.monotonic() > deadline:
            raise TimeoutError(children[0].log_tail())
        time.sleep(0.1)
    try:
        yield
    finally:
        for child in children:
            child.ask_to_stop()
        for child in children:
            child.stop()
            stack.supervisor.children.remove(child)


def seconds_of(client: Client, job: Job) -> float:
    """Queues the caption stage of a job and waits for its end."""
    started = time.perf_counter()
    client.sender.caption(job, range(job.shards))
    while catalogue.find_success(client.store, job.job) is None:
        time.sleep(0.05)
    return time.perf_counter() - started


def make_job(client: Client, folder: Path, shards: int, size: int) -> Job:
    """A job whose shards wait for captions."""
    job = copies.submit_one_shard(client, folder, size)
    copies.render(client, job)
    return copies.widen(client.store, job, shards)


def scaling(
    stack: LocalStack, client: Client, folder: Path, each: int
) -> dict[str, dict[str, float]]:
    """Images/s of 1 to 8 workers, each with that many shards to do."""
    found = {}
    for count in WORKERS:
        with waiting_workers(stack, client, count, images_per_s=GPU_IMAGES_PER_S):
            job = make_job(client, folder, each * count, 32)
            took_s = seconds_of(client, job)
        rate = job.records / took_s
        found[str(count)] = {
            "images_per_s": rate,
            "efficiency": rate / (count * GPU_IMAGES_PER_S),
        }
        print(f"{count} workers {rate:7.1f} images/s, {found[str(count)]['efficiency']:.2f}")
    return found


def burst(stack: LocalStack, client: Client, folder: Path, shards: int) -> dict[str, Any]:
    """Shards/s with nothing to wait for, and what Redis did for one."""
    job = make_job(client, folder, shards, 1)
    empty_bytes = _memory(client.redis)
    client.sender.caption(job, range(shards))
    queued_bytes = (_memory(client.redis) - empty_bytes) / shards
    due.drop(client.redis, job.job)
    client.redis.delete(CAPTION)
    with waiting_workers(stack, client, os.cpu_count() or 1):
        before = _spent(client.redis)
        took_s = seconds_of(client, job)
        after = _spent(client.redis)
    return {
        "workers": os.cpu_count() or 1,
        "shards_per_s": shards / took_s,
        "redis_commands_per_shard": (after[0] - before[0]) / shards,
        "redis_ms_per_shard": 1000 * (after[1] - before[1]) / shards,
        "queued_bytes_per_shard": queued_bytes,
    }


def _memory(client: redis.Redis) -> int:
    info: dict[str, Any] = client.info("memory")
    return int(info["used_memory"])


def _spent(client: redis.Redis) -> tuple[int, float]:
    """Commands that Redis has done, and seconds of processor that its one busy thread took."""
    info: dict[str, Any] = client.info("everything")
    user_s, system_s = info["used_cpu_user_main_thread"], info["used_cpu_sys_main_thread"]
    return int(info["total_commands_processed"]), float(user_s) + float(system_s)


def gpus(shards_per_s: float) -> dict[str, float]:
    """How many GPUs at 20 images/s so many shards a second keep busy, by shard size."""
    return {str(size): shards_per_s * size / GPU_IMAGES_PER_S for size in SIZES}


def measure(options: argparse.Namespace) -> dict[str, Any]:
    """All figures."""
    with tempfile.TemporaryDirectory() as name, LocalStack(Path(name) / "stack") as stack:
        client, folder = Client(load_settings(**stack.settings())), Path(name)
        found = burst(stack, client, folder, options.burst)
        scaled = scaling(stack, client, folder, options.shards)
    return {
        "gpu_images_per_s": GPU_IMAGES_PER_S,
        "scaling": scaled,
        "burst": found,
        "gpus_fed_here": gpus(found["shards_per_s"]),
        # The render stage of a shard asks of Redis what its caption stage does.
        "gpus_fed_by_one_redis": gpus(1000 / (2 * found["redis_ms_per_shard"])),
    }


def main() -> None:
    """Prints the figures."""
    parser = report.parser(__doc__, shards=16, burst=1000)
    options = parser.parse_args()
    figures = measure(options)
    found = figures["burst"]
    print(f"{found['workers']} workers, nothing to wait for: {found['shards_per_s']:.0f} shards/s")
    print(
        f"Redis for one shard: {found['redis_commands_per_shard']:.0f} commands, "
        f"{found['redis_ms_per_shard']:.2f} ms, {found['queued_bytes_per_shard']:.0f} bytes queued"
    )
    for size in map(str, SIZES):
        print(
            f"shards of {size:>3}: GPUs at 20 images/s fed by the workers here "
            f"{figures['gpus_fed_here'][size]:.0f}, by one busy Redis "
            f"{figures['gpus_fed_by_one_redis'][size]:.0f}"
        )
    report.save(options, "control", figures)


if __name__ == "__main__":
    as_command(main)
