"""How soon one image is captioned by idle, warm workers, beyond the engine's own time.

python -m bench.latency [--records 100] [--json FILE]

submit to result    from the call of `Client.submit` with one record to the results part being
                    in the store, less the time that the engine waits
result to watch     from the last results part being there to `regioncap watch` ending, and to
                    `Client.wait` returning
"""

from __future__ import annotations

import argparse
import statistics
import tempfile
import time
from collections.abc import Callable, Sequence
from concurrent.futures import ThreadPoolExecutor
from functools import partial
from pathlib import Path
from typing import Any

from bench import as_command, report
from bench.control import waiting_workers
from bench.render import make_pictures
from producer.commands.stack import start_workers
from producer.commands.watch import watch_job
from regioncap import keys
from regioncap.client import Client
from regioncap.jobs import catalogue
from regioncap.local import LocalStack
from regioncap.services.store import Store
from regioncap.settings import load_settings

#: What the engine takes for a record, and for one that is watched.
ENGINE_S = 0.05
WATCHED_ENGINE_S = 3.0
WARM_UP = 3
_POLL_S = 0.002


def inputs(folder: Path, count: int) -> list[dict[str, Any]]:
    """One record a job, each with a picture of its own."""
    records = []
    for index, (data, boxes) in enumerate(zip(*make_pictures(count, seed=2), strict=True)):
        (folder / f"{index}.jpg").write_bytes(data)
        records.append({"image": str(folder / f"{index}.jpg"), "bbox": [list(b) for b in boxes]})
    return records


def wait_for(store: Store, key: str) -> float:
    """The moment at which an object is there."""
    while not store.exists(key):
        time.sleep(_POLL_S)
    return time.perf_counter()


def time_results(client: Client, records: Sequence[dict[str, Any]], root: Path) -> list[float]:
    """Seconds from submission to result of each record, one after the other, without warm-up."""
    took = []
    for record in records:
        started = time.perf_counter()
        job = client.submit([record], image_root=root, shard_size=1)
        took.append(wait_for(client.store, keys.part_key(job, "results", 0)) - started - ENGINE_S)
    return took[WARM_UP:]


def time_watch(
    client: Client, records: Sequence[dict[str, Any]], root: Path
) -> dict[str, list[float]]:
    """Seconds from the last result to the end of `regioncap watch` and of `Client.wait`."""
    took: dict[str, list[float]] = {"watch": [], "client": []}
    for record in records:
        job = catalogue.load(client.store, client.submit([record], image_root=root, shard_size=1))
        waits: dict[str, Callable[[], object]] = {
            "watch": partial(watch_job, client, job),
            "client": partial(client.wait, job.job),
        }
        with ThreadPoolExecutor(len(waits)) as pool:
            ended = {name: pool.submit(_moment_after, wait) for name, wait in waits.items()}
            there = wait_for(client.store, keys.part_key(job.job, "results", 0))
        for name, moment in ended.items():
            took[name].append(moment.result() - there)
    return took


def _moment_after(wait: Callable[[], object]) -> float:
    wait()
    return time.perf_counter()


def spread(took: Sequence[float]) -> dict[str, float]:
    """Median and 99th percentile, in milliseconds."""
    ordered = sorted(took)
    last = ordered[min(len(ordered) - 1, round(0.99 * (len(ordered) - 1)))]
    return {"p50_ms": 1000 * statistics.median(ordered), "p99_ms": 1000 * last}


def measure(options: argparse.Namespace) -> dict[str, Any]:
    """All figures."""
    with tempfile.TemporaryDirectory() as name, LocalStack(Path(name) / "stack") as stack:
        root = Path(name)
        client = Client(load_settings(**stack.settings()))
        start_workers(stack, client.settings, render_workers=1, caption_workers=0)
        records = inputs(root, options.records + WARM_UP)
        client.redis.flushall()  # who waits for workers counts those of one kind
        with waiting_workers(stack, client, 1, latency_s=ENGINE_S):
            result = time_results(client, records, root)
        with waiting_workers(stack, client, 1, latency_s=WATCHED_ENGINE_S):
            watched = time_watch(client, records[: options.watched], root)
    return {
        "records": options.records,
        "submit_to_result": spread(result),
        "result_to_watch": spread(watched["watch"]),
        "result_to_client": spread(watched["client"]),
    }


def main() -> None:
    """Prints the figures."""
    options = report.parser(__doc__, records=100, watched=15).parse_args()
    figures = measure(options)
    for name in ("submit_to_result", "result_to_watch", "result_to_client"):
        found = figures[name]
        told = name.replace("_", " ")
        print(f"{told:18} p50 {found['p50_ms']:6.0f} ms  p99 {found['p99_ms']:6.0f} ms")
    report.save(options, "latency", figures)


if __name__ == "__main__":
    as_command(main)
