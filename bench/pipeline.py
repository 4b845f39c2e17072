"""How fast the whole CPU side is on the embedded stack, against a bare loop on the same cores.

    python -m bench.pipeline [--images 400] [--json FILE]

    system      regioncap submit, one render worker with a process per core, one caption worker
                with the baseline engine; from the first upload to `_SUCCESS`
    stages      the same from the first message on, with everything uploaded
    bare loop   the same files read, marked and described in plain processes, one per core,
                with nothing stored

and where the time goes: the processor time of each process for an image, and, of a single process
with one request to the store after the other, the time of each step.
"""

from __future__ import annotations

import json
import os
import tempfile
import time
from collections import Counter
from collections.abc import Callable, Iterator
from concurrent.futures import ProcessPoolExecutor
from contextlib import contextmanager
from functools import partial
from pathlib import Path
from typing import Any, Literal

import psutil

from bench import as_command, drawing, report
from bench.copies import NoSender
from bench.render import HOW, make_pictures
from bench.requests import counted_requests
from producer.commands.stack import start_workers
from producer.commands.submit import submit_file
from regioncap import keys
from regioncap.captions.conversation import caption_records
from regioncap.client import Client
from regioncap.engines.baseline import BaselineEngine
from regioncap.engines.thread import EngineThread
from regioncap.job import Job
from regioncap.jobs import catalogue, render
from regioncap.jobs.caption import CaptionStage
from regioncap.local import LocalStack
from regioncap.records import InputRecord
from regioncap.services.progress import Progress
from regioncap.services.store import Store
from regioncap.settings import load_settings
from regioncap.views.render import render_record

_POLL_S = 0.05


def write_input(folder: Path, count: int) -> Path:
    """Pictures and a JSON Lines file that names them."""
    lines = []
    for i, (data, boxes) in enumerate(zip(*make_pictures(count), strict=True)):
        (folder / f"{i}.jpg").write_bytes(data)
        lines.append(json.dumps({"image": f"{i}.jpg", "bbox": boxes}))
    file = folder / "input.jsonl"
    file.write_text("\n".join(lines))
    return file


def bare_chunk(file: Path, part: int, parts: int) -> int:
    """Marks and describes every `parts`-th picture of an input."""
    import asyncio

    engine = BaselineEngine()
    lines = file.read_text().splitlines()[part::parts]
    for i, line in enumerate(lines):
        fields = json.loads(line)
        record = InputRecord(index=i, line=i + 1, image="x", bbox=fields["bbox"])
        data = (file.parent / fields["image"]).read_bytes()
        rendered, pictures = render_record(record, data, HOW)
        asyncio.run(caption_records([rendered], dict(pictures), engine, HOW, lambda *_: []))
    return len(lines)


def time_bare_loop(file: Path, processes: int) -> float:
    """Seconds of the bare loop, after its processes have warmed up."""
    with ProcessPoolExecutor(processes) as pool:
        list(pool.map(partial(bare_chunk, file, parts=10**9), range(processes)))
        started = time.perf_counter()
        list(pool.map(partial(bare_chunk, file, parts=processes), range(processes)))
        return time.perf_counter() - started


def time_system(client: Client, file: Path) -> tuple[float, float, dict[str, int]]:
    """Seconds from the first upload to `_SUCCESS`, and from the first message; and its counts."""
    started = time.perf_counter()
    submitted = submit_file(client, file)
    queued = time.perf_counter()
    while (success := catalogue.find_success(client.store, submitted.job)) is None:
        time.sleep(_POLL_S)
    ended = time.perf_counter()
    return ended - started, ended - queued, success.counts


@contextmanager
def timed(
    spent: Counter[str],
    name: str,
    owner: Any,
    attribute: str,
    clock: Callable[[], float] = time.perf_counter,
) -> Iterator[None]:
    """Adds up the time that calls of a function take."""
    original: Callable[..., Any] = getattr(owner, attribute)

    def wrapper(*args: Any, **kwargs: Any) -> Any:
        started = clock()
        try:
            return original(*args, **kwargs)
        finally:
            spent[name] += clock() - started  # type: ignore[assignment]

    setattr(owner, attribute, wrapper)
    try:
        yield
    finally:
        setattr(owner, attribute, original)


def breakdown(client: Client, file: Path) -> tuple[dict[str, float], dict[str, Any]]:
    """Seconds by component, each request to the store one after the other; and the requests."""
    spent: Counter[str] = Counter()
    store = Store(client.settings)
    progress = partial(Progress, client.redis)
    engine = EngineThread(BaselineEngine())
    engine.start()
    requests: dict[str, Any] = {}
    with counted_requests() as requests["submit"]:
        submitted = drawing.upload(client, file)
    rendering = render.RenderStage(store, client.settings, NoSender(), progress, threads=1)  # type: ignore[arg-type]
    captioning = CaptionStage(store, engine, progress, client.settings, NoSender(), threads=1)  # type: ignore[arg-type]
    with (
        timed(spent, "store get", store, "get"),
        timed(spent, "store put", store, "put"),
        timed(spent, "store head", store, "exists"),
        timed(spent, "marks", render, "render_record"),
        timed(spent, "progress", Progress, "note_part"),
    ):
        started = time.perf_counter()
        with counted_requests() as requests["render"]:
            for shard in range(submitted.shards):
                rendering.run(submitted.job, shard)
        spent["render stage"] = time.perf_counter() - started  # type: ignore[assignment]
        started = time.perf_counter()
        with counted_requests() as requests["caption"]:
            for shard in range(submitted.shards):
                captioning.run(submitted.job, shard)
        spent["caption stage"] = time.perf_counter() - started  # type: ignore[assignment]
    engine.close()
    sizes = _mean_bytes(store, submitted)
    return dict(spent), {"shards": submitted.shards, "requests": requests, "mean_bytes": sizes}


def _mean_bytes(store: Store, job: Job) -> dict[str, float]:
    """Mean size of a marked picture, and of the parts' share of a record, in bytes."""
    marked = [len(store.get(keys.marked_key(job.job, index))) for index in range(job.records)]
    kinds: tuple[Literal["input", "rendered", "results"], ...] = ("input", "rendered", "results")
    parts = [
        len(store.get(keys.part_key(job.job, kind, n))) for kind in kinds for n in range(job.shards)
    ]
    return {"marked": sum(marked) / job.records, "parts": sum(parts) / job.records}


def processor_s(stack: LocalStack) -> dict[str, float]:
    """Processor time so far, in seconds, of each of a stack's children and of this process."""
    spent = {"producer": time.process_time()}
    for child in stack.supervisor.children if stack.supervisor else []:
        parent = psutil.Process(child.pid)
        times = [each.cpu_times() for each in (parent, *parent.children(recursive=True))]
        spent[child.command.name] = sum(each.user + each.system for each in times)
    return spent


def measure(count: int, cores: int) -> dict[str, Any]:
    """All figures, in images/s and ms per image."""
    with tempfile.TemporaryDirectory() as folder:
        file = write_input(Path(folder), count)
        bare_s = time_bare_loop(file, cores)
        with LocalStack(Path(folder) / "stack") as stack:
            client = Client(load_settings(**stack.settings()))
            spent, objects = breakdown(client, file)
            start_workers(stack, client.settings, render_workers=1, caption_workers=1)
            time_system(client, file)  # the first job of a worker pays for imports
            before = processor_s(stack)
            system_s, stages_s, counts = time_system(client, file)
            after = processor_s(stack)
    return {
        "images": count,
        "cores": cores,
        "regions_per_image": counts["regions"] / count,
        "bare_per_s": count / bare_s,
        "system_per_s": count / system_s,
        "stages_per_s": count / stages_s,
        "stages_regions_per_s": counts["regions"] / stages_s,
        "stages_valid_regions_per_s": counts["regions_ok"] / stages_s,
        "stages_over_bare": bare_s / stages_s,
        "processor_ms": {name: 1000 * (after[name] - s) / count for name, s in before.items()},
        **objects,
        "single_ms": {name: 1000 * value / count for name, value in spent.items()},
    }


def main() -> None:
    """Prints the figures."""
    options = report.parser(__doc__, images=400).parse_args()
    figures = measure(options.images, os.cpu_count() or 1)
    print(f"{options.images} pictures of 640x480, {figures['cores']} cores, images/s:")
    print(f"  bare loop            {figures['bare_per_s']:7.1f}")
    print(f"  system, with upload  {figures['system_per_s']:7.1f}")
    print(f"  system, stages only  {figures['stages_per_s']:7.1f}")
    print(f"stages over bare loop  {figures['stages_over_bare']:7.2f}")
    print(f"valid regions/s        {figures['stages_valid_regions_per_s']:7.1f}")
    print("processor time of each process, ms per image:")
    for name, value in figures["processor_ms"].items():
        print(f"  {name:15} {value:7.2f}")
    print("steps of a single process, ms per image:")
    for name, value in figures["single_ms"].items():
        print(f"  {name:15} {value:7.2f}")
    report.save(options, "pipeline", figures)


if __name__ == "__main__":
    as_command(main)
