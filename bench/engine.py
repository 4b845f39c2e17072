"""Captions from the vLLM engine through the whole system, against a plain `LLM.generate`.

    python -m bench.engine --toy                      # bench.gpu's toy, on a CPU
    python -m bench.engine --model FOLDER [--engine-args JSON]

system   pictures are marked, and a caption worker is warm; then it gets all shards of a job at
         once, and the clock runs to `_SUCCESS`: queue, fetching, decoding, captions, results stored
plain    the same marked pictures and prompts, read and decoded on the clock, with the same engine
         arguments: all in one call of `LLM.generate`, which is the best it can do, and one by one

Both engines stay up, and the sides take turns with the same pictures, now one first and now the
other, so that a machine that slows down slows both; the ratio is the median of the pairs. Of each
run it is told, too, how much of the time the engine's worker, which computes the model, was busy.
In one more run the worker is asked four times a second how full its batch is, which costs it time.
The toy's answers have their full length and name their regions, so that nothing is asked twice; of
another model, what the system asks for a second time counts against it. The first caption is timed
from `submit` on the warm worker, and from the start of a process that loads the model anew, as is
done where a model lives for one run.
"""

from __future__ import annotations

import argparse
import json
import os
import subprocess
import sys
import tempfile
import time
from collections.abc import Sequence
from dataclasses import dataclass
from pathlib import Path
from statistics import median
from typing import Any

from bench import as_command, drawing, occupancy, report
from bench.gpu.cases import write_questions
from bench.gpu.holder import Holder
from bench.gpu.watch import Watch
from bench.occupancy import Occupancy
from producer.commands.stack import start_workers
from producer.commands.submit import submit_file
from regioncap import keys
from regioncap.client import Client
from regioncap.engines.cpu import SHIM
from regioncap.engines.vllm_start import engine_arguments, prepare_environment
from regioncap.job import Job
from regioncap.jobs import catalogue, results
from regioncap.local import Command, LocalStack
from regioncap.local.files import free_ports
from regioncap.local.workers import complain_of_ended
from regioncap.services.progress import parts_key
from regioncap.services.queue import CAPTION
from regioncap.settings import load_settings
from tests.support.scenes import scene

TINY_ARGS: dict[str, Any] = {
    "dtype": "bfloat16", "max_model_len": 4096, "enforce_eager": True, "block_size": 32,
}  # fmt: skip
TINY_ENVIRONMENT = {"HF_HUB_OFFLINE": "1", "VLLM_CPU_KVCACHE_SPACE": "1"}
#: Records; fewer leave the first run slower than the others.
WARM_UP = 64
_POLL_S = 0.01
_WATCH_S = 0.05
#: After a run the other engine's processes look for work without a pause for a second.
_REST_S = 2.0
_ASK_LIMIT_S = 3600.0


def write_input(folder: Path, name: str, numbers: Sequence[int]) -> Path:
    """Pictures of many sizes with one box each, and the file that names them."""
    lines = []
    for number in numbers:
        (folder / f"{number}.jpg").write_bytes(scene(number))
        lines.append(json.dumps({"image": f"{number}.jpg", "bbox": [[20, 20, 60, 50]]}))
    (folder / name).write_text("\n".join(lines))
    return folder / name


def wait_for(client: Client, key: str) -> float:
    """The moment at which an object is there."""
    while not client.store.exists(key):
        time.sleep(_POLL_S)
    return time.perf_counter()


@dataclass(frozen=True, slots=True)
class Turn:
    """What both sides are asked in a run: a drawn job, and its questions as a file."""

    job: Job
    questions: Path


class Measurement:
    """A warm caption worker of a stack, and beside it a warm `LLM.generate`.

    Args:
        options: Of the command line.
        stack: A started stack; what is made on the way goes into its folder.
    """

    def __init__(self, options: argparse.Namespace, stack: LocalStack) -> None:
        self._options = options
        self._stack = stack
        self._folder = Path(stack.folder)
        self._client = Client(
            load_settings(
                **stack.settings(),
                engine="vllm",
                model=options.model,
                temperature=options.temperature,
                max_tokens=options.max_tokens,
                shard_size=options.shard_size,
            )
        )
        (self._port,) = free_ports(1)
        self._next_picture = 0

    def run(self) -> dict[str, Any]:
        """Measures all there is."""
        runs = [self._options.records] * self._options.runs
        warm, *timed, watched = self._prepare([WARM_UP, *runs, self._options.records])
        system: dict[str, Any] = {"start_s": self._start_worker(warm.job)}
        plain: dict[str, Any] = {}
        started = time.perf_counter()
        with Holder(self._stack, self._plain_command(), self._folder / "plain") as holder:
            self._ask_some(holder, warm, 1)
            plain["first_caption_s"] = time.perf_counter() - started
            self._ask(holder, warm.questions)
            system["runs"], plain["runs"] = self._run_pairs(holder, timed)
            few = max(1, self._options.records // 8)
            plain["one_by_one_captions_per_s"] = few / self._ask_some(holder, watched, few)
        system |= self._watch(watched.job)
        system["first_caption_s"] = self._time_first_caption()
        pairs = [
            ours["captions_per_s"] / theirs["captions_per_s"]
            for ours, theirs in zip(system["runs"], plain["runs"], strict=True)
        ]
        return {
            "system": _with_medians(system),
            "plain": _with_medians(plain),
            "ratio": median(pairs),
            "ratios": pairs,
        }

    def _prepare(self, counts: Sequence[int]) -> list[Turn]:
        """Uploads and draws jobs of so many records; no two have a picture in common."""
        jobs = [drawing.upload(self._client, self._write_input(count)) for count in counts]
        drawing.draw(self._client.settings, jobs)
        return [
            Turn(job, write_questions(self._client, job, self._folder / job.job)) for job in jobs
        ]

    def _write_input(self, count: int) -> Path:
        first = self._next_picture
        self._next_picture += count
        numbers = range(first, self._next_picture)
        return write_input(self._folder, f"{first}.jsonl", numbers)

    def _start_worker(self, warm: Job) -> float:
        """Seconds from the start of the caption worker to the end of its first job."""
        os.environ["REGIONCAP_METRICS_PORT"] = str(self._port)
        drawing.take_up(self._client, warm)
        started = time.perf_counter()
        self._client.sender.caption(warm, range(warm.shards))
        start_workers(self._stack, self._client.settings, render_workers=0, caption_workers=1)
        while catalogue.find_success(self._client.store, warm.job) is None:
            complain_of_ended(self._stack)
            time.sleep(_POLL_S)
        return time.perf_counter() - started

    def _plain_command(self) -> Command:
        given = engine_arguments(
            Path(self._options.model), self._options.engine_args, self._options.max_pixels
        )
        model = given.pop("model")
        arguments = (str(self._folder / "plain"), model, json.dumps(given))
        return Command(
            name="plain", argv=(sys.executable, "-m", "bench.gpu.plain", *arguments), restart=False
        )

    def _run_pairs(
        self, holder: Holder, turns: Sequence[Turn]
    ) -> tuple[list[dict[str, float]], list[dict[str, float]]]:
        """A run of each side for each turn; every second time the plain side is the first."""
        system, plain = [], []
        for number, turn in enumerate(turns):
            sides = [
                lambda turn=turn: system.append(self._run_system(turn.job)),
                lambda turn=turn: plain.append(self._run_plain(holder, turn.questions)),
            ]
            for run in sides if number % 2 == 0 else reversed(sides):
                time.sleep(_REST_S)
                run()
            print(
                f"pair {number + 1} of {len(turns)}: system {system[-1]['captions_per_s']:.2f},"
                f" plain {plain[-1]['captions_per_s']:.2f} captions/s",
                file=sys.stderr,
                flush=True,
            )
        return system, plain

    def _run_system(self, job: Job) -> dict[str, float]:
        drawing.take_up(self._client, job)
        with Watch({"caption worker": self._stack.child("caption-1").pid}) as watch:
            started = time.perf_counter()
            self._client.sender.caption(job, range(job.shards))
            # Asked of Redis, which hardly notices; the store would be kept busy.
            while self._client.redis.hlen(parts_key(job.job)) < job.shards:
                time.sleep(_WATCH_S)
            wait_for(self._client, keys.success_key(job.job))
            seconds = time.perf_counter() - started
        found = list(results.read(self._client.store, job))
        tokens = sum(record["usage"]["completion_tokens"] for record in found)
        requests = sum(record["usage"]["requests"] for record in found)
        return {
            **_rates(len(found), tokens, seconds, watch),
            "requests_per_record": requests / len(found),
        }

    def _run_plain(self, holder: Holder, questions: Path) -> dict[str, float]:
        with Watch({"plain process": holder.pid}) as watch:
            found = self._ask(holder, questions)
        return _rates(found["requests"], found["completion_tokens"], found["seconds"], watch)

    def _ask(self, holder: Holder, questions: Path) -> dict[str, Any]:
        settings = self._client.settings
        sampling = {
            "temperature": settings.temperature,
            "top_p": settings.top_p if settings.temperature else 1.0,
            "max_tokens": settings.max_tokens,
        }
        task = {"do": "ask", "questions": str(questions), "sampling": sampling}
        return holder.ask(task, _ASK_LIMIT_S)

    def _ask_some(self, holder: Holder, turn: Turn, count: int) -> float:
        """Asks the plain side the first questions of a run one by one; the seconds it took."""
        seconds = 0.0
        for question in json.loads(turn.questions.read_text())[:count]:
            file = self._folder / "one.json"
            file.write_text(json.dumps([question]))
            seconds += self._ask(holder, file)["seconds"]
        return seconds

    def _watch(self, job: Job) -> dict[str, Any]:
        batch = Occupancy(self._port, lambda: occupancy.untaken(self._client.redis, CAPTION))
        before = _prefix(batch)
        batch.start()
        self._run_system(job)
        looked_up, hits = (b - a for a, b in zip(before, _prefix(batch), strict=True))
        return {
            "prefix_hit_rate": hits / looked_up if looked_up else None,
            "occupancy": occupancy.summary(batch.end()),
        }

    def _time_first_caption(self) -> float:
        """Seconds from `submit` of a picture that nobody has seen to its caption in the store.

        The one before it has warmed the render worker.
        """
        start_workers(self._stack, self._client.settings, render_workers=1, caption_workers=0)
        for _ in range(2):
            file = self._write_input(1)
            started = time.perf_counter()
            job = submit_file(self._client, file)
            took_s = wait_for(self._client, keys.part_key(job.job, "results", 0)) - started
        return took_s


def _rates(captions: int, tokens: int, seconds: float, watch: Watch) -> dict[str, float]:
    return {
        "captions_per_s": captions / seconds,
        "tokens_per_s": tokens / seconds,
        "worker_busy": watch.found["processor_s"].get("engine worker", 0.0) / seconds,
    }


def _prefix(worker: Occupancy) -> tuple[float, float]:
    return worker.read("vllm:prefix_cache_queries_total"), worker.read(
        "vllm:prefix_cache_hits_total"
    )


def measure(options: argparse.Namespace) -> dict[str, Any]:
    """Starts what is needed, and measures both sides."""
    with tempfile.TemporaryDirectory() as name:
        folder = Path(name)
        if options.toy:
            _prepare_toy(options, folder / "toy")
        os.environ["REGIONCAP_ENGINE_ARGS"] = json.dumps(options.engine_args)
        os.environ["REGIONCAP_MAX_PIXELS"] = str(options.max_pixels)
        if options.in_hand:
            os.environ["REGIONCAP_CONCURRENCY"] = str(options.in_hand)
        prepare_environment()
        with LocalStack(folder / "stack") as stack:
            return Measurement(options, stack).run()


def _with_medians(side: dict[str, Any]) -> dict[str, Any]:
    return {name: median(run[name] for run in side["runs"]) for name in side["runs"][0]} | side


def _prepare_toy(options: argparse.Namespace, folder: Path) -> None:
    os.environ.update(TINY_ENVIRONMENT | {"PYTHONPATH": str(SHIM)})
    command = [sys.executable, "-m", "bench.gpu.shapes", str(folder), "toy", "cpu"]
    subprocess.run(command, check=True, stdout=sys.stderr)
    options.model, options.engine_args = str(folder), TINY_ARGS | options.engine_args


def _print(options: argparse.Namespace, figures: dict[str, Any]) -> None:
    system, plain = figures["system"], figures["plain"]
    hand = f"{options.in_hand} shards in hand" if options.in_hand else "as many in hand as it takes"
    print(f"{options.records} pictures in shards of {options.shard_size}, {hand}")
    for name in ("system", "plain"):
        per_s = figures[name]["captions_per_s"], figures[name]["tokens_per_s"]
        busy = f"engine's worker busy for {figures[name]['worker_busy']:.2f} of the time"
        print(f"{name:8}{per_s[0]:8.2f} captions/s {per_s[1]:8.0f} tokens/s, {busy}")
    print(f"plain, one by one: {plain['one_by_one_captions_per_s']:.2f} captions/s")
    ratios = ", ".join(f"{ratio:.2f}" for ratio in sorted(figures["ratios"]))
    print(
        f"system / plain: {figures['ratio']:.2f} (pairs: {ratios}),"
        f" at {system['requests_per_record']:.2f} requests"
    )
    if system["prefix_hit_rate"] is not None:
        print(f"prefix cache hits: {system['prefix_hit_rate']:.0%} of the prompts' tokens")
    print(f"first caption: {system['first_caption_s']:.2f} s after submit to the warm worker,")
    print(f"  {plain['first_caption_s']:.1f} s where the model is loaded for the run")
    print(f"worker start, once: {system['start_s']:.0f} s to the end of a first job")
    print(occupancy.told(system["occupancy"]))


def main(arguments: Sequence[str] | None = None) -> None:
    """Runs both sides and prints the comparison."""
    parser = report.parser(
        __doc__, records=192, runs=5, max_tokens=32, max_pixels=1_003_520, shard_size=32, in_hand=0
    )
    which = parser.add_mutually_exclusive_group(required=True)
    which.add_argument("--model", help="folder of a Qwen2.5-VL")
    which.add_argument("--toy", action="store_true", help="bench.gpu's toy, on the processor")
    parser.add_argument("--engine-args", type=json.loads, default={})
    parser.add_argument("--temperature", type=float, default=load_settings().temperature)
    options = parser.parse_args(arguments)
    figures = measure(options)
    _print(options, figures)
    report.save(options, "engine", figures)


if __name__ == "__main__":
    as_command(main)
