"""How cost grows with the size of a job: submit, status, results, export, resume.

    python -m bench.growth [--records 1000000] [--shard-size 32] [--json FILE]

Each command runs as a user runs it, in a process of its own, whose records/s, processor time and
peak memory are told. The pictures are in the store already: the input names them as s3:// URIs, a
few of them over and over. What the workers would write in between is copied from one shard that was
really done.
"""

from __future__ import annotations

import argparse
import json
import os
import random
import resource
import subprocess
import sys
import tempfile
import time
from pathlib import Path
from typing import Any

from bench import as_command, copies, report
from bench.render import make_pictures
from bench.requests import counted_requests
from regioncap import keys
from regioncap.client import Client
from regioncap.jobs import catalogue, finish
from regioncap.local import LocalStack
from regioncap.services.progress import Progress
from regioncap.services.queue import RENDER
from regioncap.services.store import Store
from regioncap.settings import load_settings

ROOT = Path(__file__).parents[1]


def write_input(store: Store, folder: Path, records: int) -> Path:
    """Uploads 16 pictures and writes an input that names them over and over."""
    pictures, boxes = make_pictures(16)
    image_keys = [keys.image_key(f"{i:064x}", "jpg") for i in range(len(pictures))]
    for key, data in zip(image_keys, pictures, strict=True):
        store.put(key, data)
    chance, file = random.Random(0), folder / "input.jsonl"
    with file.open("w") as lines:
        for index in range(records):
            which = chance.randrange(len(image_keys))
            line = {"image": store.uri(image_keys[which]), "bbox": boxes[which], "id": f"r{index}"}
            lines.write(json.dumps(line) + "\n")
    return file


def run(stack: LocalStack, arguments: list[str]) -> tuple[str, dict[str, float]]:
    """Runs a Python module; returns its output, its time, the processor's, and its peak memory."""
    named = {f"REGIONCAP_{key.upper()}": value for key, value in stack.settings().items()}
    environment = os.environ | named | {"PYTHONPATH": str(ROOT)}
    peak = stack.folder / "peak"
    command = [sys.executable, "-m", "bench.peak", str(peak), *arguments]
    started, busy_s = time.perf_counter(), _children_s()
    done = subprocess.run(command, env=environment, stdout=subprocess.PIPE, text=True, check=True)
    seconds = time.perf_counter() - started
    busy_s = _children_s() - busy_s
    peak_mb = int(peak.read_text()) / 1e6
    return done.stdout.strip(), {"s": seconds, "cpu_s": busy_s, "peak_mb": peak_mb}


def _children_s() -> float:
    """Processor time of all children that have ended."""
    usage = resource.getrusage(resource.RUSAGE_CHILDREN)
    return usage.ru_utime + usage.ru_stime


def finish_job(job_id: str) -> None:
    """What the worker with the last shard does."""
    client = Client()
    job = catalogue.load(client.store, job_id)
    if finish.finish(client.store, Progress(client.redis, job_id), job) is None:
        raise RuntimeError("a part is missing")


def measure(stack: LocalStack, folder: Path, records: int, shard_size: int) -> dict[str, Any]:
    """All figures of one size."""
    client = Client(load_settings(**stack.settings()))
    input_ = write_input(client.store, folder, records)
    found: dict[str, dict[str, float]] = {}

    def timed(name: str, *arguments: str) -> str:
        output, found[name] = run(stack, list(arguments))
        found[name]["records_per_s"] = records / found[name]["s"]
        print(f"{records:>9,} {name:16} {_told(found[name])}", flush=True)
        return output

    submit = ("producer", "submit", str(input_), "--shard-size", str(shard_size))
    job_id = timed("submit", *submit)
    redis_bytes = int(client.redis.memory_usage(RENDER, samples=0) or 0)
    client.redis.delete(RENDER)
    job = catalogue.load(client.store, job_id)
    timed("status, waiting", "producer", "status", job_id, "--json")
    copies.write_results(client, job, _part(client, folder, shard_size))
    timed("finish", "bench.growth", "--finish", job_id)
    timed("status, done", "producer", "status", job_id, "--json")
    timed("results", "producer", "results", job_id, "-o", str(folder / "results.jsonl"))
    timed("export jsonl", "producer", "export", job_id, "-o", str(folder / "export.jsonl"))
    timed("export parquet", *f"producer export {job_id} -f parquet -o {folder}/out.pq".split())
    timed("resume", "producer", "submit", "--resume", job_id)
    with counted_requests() as requests:
        _resume(client, job_id)
    success = client.store.get(keys.success_key(job_id))
    return {
        "records": records,
        "shards": job.shards,
        "commands": found,
        "resume_requests": requests.total(),
        "success_bytes": len(success),
        "queued_bytes_per_shard": redis_bytes / job.shards,
    }


def _resume(client: Client, job_id: str) -> None:
    from producer.commands.submit import _resume as resume

    resume(client, job_id)


def _part(client: Client, folder: Path, size: int) -> bytes:
    """One shard's results, really made."""
    done = copies.submit_one_shard(client, folder, size)
    copies.render(client, done)
    return copies.caption(client, done)


def _told(figures: dict[str, float]) -> str:
    rate = f"{figures['records_per_s']:>9,.0f} records/s"
    seconds = f"{figures['s']:8.2f} s {figures['cpu_s']:8.2f} s of processor"
    return f"{seconds} {rate} {figures['peak_mb']:6.0f} MB"


def main() -> None:
    """Prints the figures."""
    parser = report.parser(__doc__, shard_size=32)
    parser.add_argument("--records", type=int, nargs="+", default=[10_000, 100_000])
    parser.add_argument("--finish", metavar="JOB", help=argparse.SUPPRESS)
    options = parser.parse_args()
    if options.finish:
        finish_job(options.finish)
        return
    sizes = []
    for records in options.records:
        with tempfile.TemporaryDirectory() as name, LocalStack(Path(name) / "stack") as stack:
            sizes.append(measure(stack, Path(name), records, options.shard_size))
    for size in sizes:
        print(
            f"{size['records']:>9,} _SUCCESS {size['success_bytes'] / 1e6:.1f} MB, "
            f"resume {size['resume_requests']} requests, {size['queued_bytes_per_shard']:.0f} "
            "bytes of Redis for a queued shard"
        )
    report.save(options, "growth", {"sizes": sizes})


if __name__ == "__main__":
    as_command(main)
