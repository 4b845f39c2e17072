"""How fast the whole CPU side is on the embedded stack, against a bare loop on the same cores.

    python -m bench.pipeline [--images 400] [--json]

    system      regioncap submit, one render worker with a process per core, one caption worker
                with the baseline engine; from the first upload to `_SUCCESS`
    stages      the same from the first message on, with everything uploaded
    bare loop   the same files read, marked and described in plain processes, one per core,
                with nothing stored

and where the time of one core goes, stage by stage, with the real store.
"""

from __future__ import annotations

import argparse
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
from typing import Any

from bench.render import LIMITS, job, make_pictures
from producer.commands.stack import start_workers
from producer.commands.submit import submit_file
from producer.context import Services
from regioncap import jobs, render
from regioncap.caption import CaptionStage
from regioncap.captioning import caption_records
from regioncap.engines.baseline import BaselineEngine
from regioncap.engines.thread import EngineThread
from regioncap.local import LocalStack
from regioncap.progress import Progress
from regioncap.records import InputRecord
from regioncap.store import Store

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

    engine, of = BaselineEngine(), job()
    lines = file.read_text().splitlines()[part::parts]
    for i, line in enumerate(lines):
        fields = json.loads(line)
        record = InputRecord(index=i, line=i + 1, image="x", bbox=fields["bbox"])
        data = (file.parent / fields["image"]).read_bytes()
        rendered, pictures = render.render_record(record, data, of, LIMITS)
        asyncio.run(caption_records([rendered], dict(pictures), engine, of))
    return len(lines)


def time_bare_loop(file: Path, processes: int) -> float:
    """Seconds of the bare loop, after its processes have warmed up."""
    with ProcessPoolExecutor(processes) as pool:
        list(pool.map(partial(bare_chunk, file, parts=10**9), range(processes)))
        started = time.perf_counter()
        list(pool.map(partial(bare_chunk, file, parts=processes), range(processes)))
        return time.perf_counter() - started


def time_system(services: Services, file: Path) -> tuple[float, float]:
    """Seconds from the first upload to `_SUCCESS`, and from the first message."""
    started = time.perf_counter()
    submitted = submit_file(services, file)
    queued = time.perf_counter()
    while jobs.find_success(services.store, submitted.job) is None:
        time.sleep(_POLL_S)
    ended = time.perf_counter()
    return ended - started, ended - queued


@contextmanager
def timed(spent: Counter[str], name: str, owner: Any, attribute: str) -> Iterator[None]:
    """Adds up the time that calls of a function take."""
    original: Callable[..., Any] = getattr(owner, attribute)

    def wrapper(*args: Any, **kwargs: Any) -> Any:
        started = time.perf_counter()
        try:
            return original(*args, **kwargs)
        finally:
            spent[name] += time.perf_counter() - started  # type: ignore[assignment]

    setattr(owner, attribute, wrapper)
    try:
        yield
    finally:
        setattr(owner, attribute, original)


class _NoSender:
    def caption(self, *_: Any) -> None:
        """Nothing is queued: the next stage is called by hand."""


def breakdown(services: Services, file: Path) -> dict[str, float]:
    """Seconds by component, each request to the store one after the other."""
    spent: Counter[str] = Counter()
    store = Store(services.settings)
    progress = partial(Progress, services.redis)
    engine = EngineThread(BaselineEngine())
    engine.start()
    submitted = submit_file(services.with_flags(queue="caption.nobody"), file)
    services.redis.delete("render")
    drawing = render.RenderStage(store, services.settings, _NoSender(), progress, threads=1)  # type: ignore[arg-type]
    captioning = CaptionStage(store, engine, progress, threads=1)
    with (
        timed(spent, "store get", store, "get"),
        timed(spent, "store put", store, "put"),
        timed(spent, "store head", store, "exists"),
        timed(spent, "marks", render, "render_record"),
        timed(spent, "progress", Progress, "note_part"),
    ):
        started = time.perf_counter()
        for shard in range(submitted.shards):
            drawing.run(submitted.job, shard)
        spent["render stage"] = time.perf_counter() - started  # type: ignore[assignment]
        started = time.perf_counter()
        for shard in range(submitted.shards):
            captioning.run(submitted.job, shard)
        spent["caption stage"] = time.perf_counter() - started  # type: ignore[assignment]
    engine.close()
    return dict(spent)


def measure(count: int, cores: int) -> dict[str, float]:
    """All figures, in images/s and ms per image."""
    with tempfile.TemporaryDirectory() as folder:
        file = write_input(Path(folder), count)
        bare_s = time_bare_loop(file, cores)
        with LocalStack(Path(folder) / "stack") as stack:
            services = Services(**stack.settings())
            spent = breakdown(services, file)
            start_workers(stack, services, render_workers=1, caption_workers=1)
            # The breakdown has uploaded the pictures; a fresh store would measure its first writes.
            system_s, stages_s = time_system(services, file)
    figures = {
        "images": float(count),
        "cores": float(cores),
        "bare_per_s": count / bare_s,
        "system_per_s": count / system_s,
        "stages_per_s": count / stages_s,
        "stages_over_bare": bare_s / stages_s,
    }
    return figures | {f"ms {name}": 1000 * value / count for name, value in spent.items()}


def main() -> None:
    """Prints the figures."""
    parser = argparse.ArgumentParser(description=__doc__.splitlines()[0])
    parser.add_argument("--images", type=int, default=400)
    parser.add_argument("--json", action="store_true")
    options = parser.parse_args()
    figures = measure(options.images, os.cpu_count() or 1)
    if options.json:
        print(json.dumps(figures))
        return
    print(f"{options.images} pictures of 640x480, {figures['cores']:.0f} cores, images/s:")
    print(f"  bare loop            {figures['bare_per_s']:7.1f}")
    print(f"  system, with upload  {figures['system_per_s']:7.1f}")
    print(f"  system, stages only  {figures['stages_per_s']:7.1f}")
    print(f"stages over bare loop  {figures['stages_over_bare']:7.2f}")
    print("ms per image on one core, requests one after the other:")
    for name, value in figures.items():
        if name.startswith("ms "):
            print(f"  {name[3:]:15} {value:7.2f}")


if __name__ == "__main__":
    main()
