"""Captions from the vLLM engine through the whole system, against a plain `LLM.generate`.

    python -m bench.engine --toy                      # bench.gpu's toy, on a CPU
    python -m bench.engine --model FOLDER [--engine-args JSON]

system   pictures are marked, and a caption worker is warm; then it gets all shards of a job at
         once, and the clock runs to `_SUCCESS`: queue, fetching, decoding, captions, results stored
plain    the same marked pictures and prompts, read and decoded on the clock, with the same engine
         arguments: all in one call of `LLM.generate`, which is the best it can do, and one by one

Both sides do so several times, each time with other pictures; the ratio is the median of the pairs.
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
from collections.abc import Iterator, Sequence
from pathlib import Path
from statistics import median
from typing import Any

from PIL import Image

from bench import as_command, drawing, occupancy, report
from bench.occupancy import Occupancy
from producer.commands.stack import start_workers
from producer.commands.submit import submit_file
from regioncap import keys
from regioncap.client import Client
from regioncap.engines.cpu import SHIM
from regioncap.job import Job
from regioncap.jobs import catalogue, results
from regioncap.local import LocalStack
from regioncap.local.files import free_ports
from regioncap.local.workers import complain_of_ended
from regioncap.records import Prompt, RenderedRecord, load_lines
from regioncap.services.progress import parts_key
from regioncap.services.queue import CAPTION
from regioncap.settings import load_settings
from tests.support.scenes import scene

TINY_ARGS: dict[str, Any] = {
    "dtype": "bfloat16", "max_model_len": 4096, "enforce_eager": True, "block_size": 32,
}  # fmt: skip
TINY_ENVIRONMENT = {"HF_HUB_OFFLINE": "1", "VLLM_CPU_KVCACHE_SPACE": "1"}
WARM_UP = 8
_POLL_S = 0.01
_WATCH_S = 0.05


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


def rendered(client: Client, job: Job) -> Iterator[RenderedRecord]:
    """A job's records as the render stage left them."""
    for shard in range(job.shards):
        part = client.store.get(keys.part_key(job.job, "rendered", shard))
        yield from load_lines(RenderedRecord, part)


def write_questions(client: Client, job: Job, folder: Path) -> list[dict[str, Any]]:
    """What the worker is going to ask, for the plain side."""
    questions = []
    for record in rendered(client, job):
        view = record.views[0]
        picture = folder / f"{job.job}-{record.index}.jpg"
        picture.write_bytes(client.store.get(view.key))
        words = view.prompt
        questions.append({
            "image": str(picture), "system": words.system,
            "before": words.before, "after": words.after,
        })  # fmt: skip
    return questions


def run_system(options: argparse.Namespace, folder: Path) -> dict[str, Any]:
    """Captions a second of a warm worker, with how full its batch was; writes the questions."""
    with LocalStack(folder / "stack") as stack:
        settings = load_settings(
            **stack.settings(), engine="vllm", model=options.model,
            temperature=options.temperature, max_tokens=options.max_tokens,
            shard_size=options.shard_size,
        )  # fmt: skip
        client = Client(settings)
        jobs = [
            drawing.upload(
                client, write_input(folder, f"{first}.jsonl", range(first, first + count))
            )
            for first, count in _parts(options)
        ]
        drawing.draw(settings, jobs)
        asked = [write_questions(client, job, folder) for job in jobs]
        (folder / "questions.json").write_text(json.dumps(asked))
        return _caption(options, client, stack, jobs)


def _parts(options: argparse.Namespace) -> list[tuple[int, int]]:
    """The first picture of each run and how many it has; before all, some to warm up with.

    The last run is the one that is watched.
    """
    starts = range(WARM_UP, WARM_UP + (options.runs + 1) * options.records, options.records)
    return [(0, WARM_UP), *((start, options.records) for start in starts)]


def _caption(
    options: argparse.Namespace, client: Client, stack: LocalStack, jobs: list[Job]
) -> dict[str, Any]:
    (port,) = free_ports(1)
    os.environ["REGIONCAP_METRICS_PORT"] = str(port)
    warm, *timed, watched = jobs
    started = time.perf_counter()
    client.sender.caption(warm, range(warm.shards))
    start_workers(stack, client.settings, render_workers=0, caption_workers=1)
    while catalogue.find_success(client.store, warm.job) is None:
        complain_of_ended(stack)
        time.sleep(_POLL_S)
    start_s = time.perf_counter() - started
    return {
        "start_s": start_s,
        "runs": [_run(client, job) for job in timed],
        **_watch(client, port, watched),
        "first_caption_s": _time_first_caption(options, client, stack),
    }


def _run(client: Client, job: Job) -> dict[str, float]:
    started = time.perf_counter()
    client.sender.caption(job, range(job.shards))
    # Asked of Redis, which hardly notices; the store would be kept busy.
    while client.redis.hlen(parts_key(job.job)) < job.shards:
        time.sleep(_WATCH_S)
    wait_for(client, keys.success_key(job.job))
    seconds = time.perf_counter() - started
    found = list(results.read(client.store, job))
    return {
        "captions_per_s": len(found) / seconds,
        "tokens_per_s": sum(r["usage"]["completion_tokens"] for r in found) / seconds,
        "requests_per_record": sum(r["usage"]["requests"] for r in found) / len(found),
    }


def _watch(client: Client, port: int, job: Job) -> dict[str, Any]:
    watch = Occupancy(port, lambda: occupancy.untaken(client.redis, CAPTION))
    before = _prefix(watch)
    watch.start()
    _run(client, job)
    looked_up, hits = (b - a for a, b in zip(before, _prefix(watch), strict=True))
    return {
        "prefix_hit_rate": hits / looked_up if looked_up else None,
        "occupancy": occupancy.summary(watch.end()),
    }


def _prefix(worker: Occupancy) -> tuple[float, float]:
    return worker.read("vllm:prefix_cache_queries_total"), worker.read(
        "vllm:prefix_cache_hits_total"
    )


def _time_first_caption(options: argparse.Namespace, client: Client, stack: LocalStack) -> float:
    """Seconds from `submit` of a picture that nobody has seen to its caption in the store.

    The one before it has warmed the render worker.
    """
    start_workers(stack, client.settings, render_workers=1, caption_workers=0)
    first, count = _parts(options)[-1]
    for number in (first + count, first + count + 1):
        file = write_input(Path(stack.folder), f"{number}.jsonl", [number])
        started = time.perf_counter()
        job = submit_file(client, file)
        took_s = wait_for(client, keys.part_key(job.job, "results", 0)) - started
    return took_s


def run_plain(options: argparse.Namespace, asked: list[list[dict[str, Any]]]) -> dict[str, Any]:
    """Captions a second of `LLM.generate`, given all at once and one by one."""
    from vllm import LLM, SamplingParams

    from regioncap.engines.vllm import chat_text
    from regioncap.engines.vllm_start import engine_arguments

    llm = LLM(**engine_arguments(Path(options.model), options.engine_args, options.max_pixels))
    sampling = SamplingParams(
        temperature=options.temperature, top_p=load_settings().top_p, max_tokens=options.max_tokens
    )

    def generate(questions: Sequence[dict[str, str]]) -> int:
        prompts: list[Any] = [
            {
                "prompt": chat_text(
                    llm.get_tokenizer(), Prompt(q["system"], q["before"], q["after"])
                ),
                "multi_modal_data": {"image": Image.open(q["image"]).convert("RGB")},
            }
            for q in questions
        ]
        outputs = llm.generate(prompts, sampling, use_tqdm=False)
        return sum(len(output.outputs[0].token_ids) for output in outputs)

    warm, *timed, _ = asked
    generate(warm[:1])
    first_s = time.time() - options.started
    generate(warm)
    runs = []
    for questions in timed:
        started = time.perf_counter()
        tokens = generate(questions)
        seconds = time.perf_counter() - started
        runs.append({"captions_per_s": len(questions) / seconds, "tokens_per_s": tokens / seconds})
    few = timed[-1][: max(1, len(timed[-1]) // 8)]
    llm.reset_prefix_cache()
    started = time.perf_counter()
    for question in few:
        generate([question])
    return {
        "first_caption_s": first_s,
        "runs": runs,
        "one_by_one_captions_per_s": len(few) / (time.perf_counter() - started),
    }


def measure(options: argparse.Namespace) -> dict[str, Any]:
    """Both sides, one after the other, each with the machine to itself."""
    with tempfile.TemporaryDirectory() as name:
        folder = Path(name)
        if options.toy:
            _prepare_toy(options, folder / "toy")
        os.environ["REGIONCAP_ENGINE_ARGS"] = json.dumps(options.engine_args)
        os.environ["REGIONCAP_MAX_PIXELS"] = str(options.max_pixels)
        if options.in_hand:
            os.environ["REGIONCAP_CONCURRENCY"] = str(options.in_hand)
        system = run_system(options, folder)
        plain = _plain_in_a_process(options, folder)
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


def _with_medians(side: dict[str, Any]) -> dict[str, Any]:
    return {name: median(run[name] for run in side["runs"]) for name in side["runs"][0]} | side


def _plain_in_a_process(options: argparse.Namespace, folder: Path) -> dict[str, Any]:
    given = vars(options) | {"started": time.time(), "folder": str(folder), "json": None}
    subprocess.run(
        [sys.executable, "-m", "bench.engine", "--plain", json.dumps(given)],
        check=True,
        stdout=sys.stderr,
    )
    found: dict[str, Any] = json.loads((folder / "plain.json").read_text())
    return found


def _plain_side(options: argparse.Namespace) -> None:
    folder = Path(options.folder)
    found = run_plain(options, json.loads((folder / "questions.json").read_text()))
    (folder / "plain.json").write_text(json.dumps(found))


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
        print(f"{name:8}{per_s[0]:8.2f} captions/s {per_s[1]:8.0f} tokens/s")
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
    which.add_argument("--plain", type=json.loads, help=argparse.SUPPRESS)
    parser.add_argument("--engine-args", type=json.loads, default={})
    parser.add_argument("--temperature", type=float, default=load_settings().temperature)
    options = parser.parse_args(arguments)
    if options.plain:
        _plain_side(argparse.Namespace(**options.plain))
        return
    figures = measure(options)
    _print(options, figures)
    report.save(options, "engine", figures)


if __name__ == "__main__":
    as_command(main)
