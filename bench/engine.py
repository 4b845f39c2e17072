"""Measures the vLLM engine under many callers against a plain `LLM.generate` on the same pictures.

    python -m bench.engine --model FOLDER [--records N] [--max-tokens N] [--engine-args JSON]
    python -m bench.engine --tiny       # the tests' tiny model, on a CPU

Each side runs in a process of its own, one after the other: load, answer a few records to warm up,
then all records on the clock, reading and decoding included. The plain side is given everything in
one call, which is the best that `LLM.generate` can do, and once more record by record. The engine
is given shards by callers that each wait for theirs, as a worker's threads do.
"""

from __future__ import annotations

import argparse
import asyncio
import json
import os
import subprocess
import sys
import tempfile
import time
from collections.abc import Sequence
from pathlib import Path
from typing import Any

from PIL import Image

from regioncap.engines.base import Answer, CaptionRequest, Sampling
from tests.support.scenes import question, write_scenes

TINY_ARGS: dict[str, Any] = {
    "dtype": "bfloat16", "max_model_len": 4096, "enforce_eager": True, "block_size": 32,
}  # fmt: skip
TINY_ENVIRONMENT = {"HF_HUB_OFFLINE": "1", "VLLM_CPU_KVCACHE_SPACE": "1"}
SHIM = Path(__file__).parents[1] / "tests" / "support" / "vllm_cpu"
WARM_UP = 8
SAMPLE_S = 0.05


def requests_of(paths: Sequence[Path], max_tokens: int) -> list[CaptionRequest]:
    """Reads the pictures and asks about each."""
    sampling = Sampling(temperature=0.0, max_tokens=max_tokens)
    asked = [question(number, sampling) for number in range(len(paths))]
    return [
        CaptionRequest(q.request_id, path.read_bytes(), q.prompt, q.sampling)
        for q, path in zip(asked, paths, strict=True)
    ]


def run_plain(options: argparse.Namespace, paths: Sequence[Path]) -> dict[str, Any]:
    """Captions a second of `LLM.generate`, given all at once and one by one."""
    from vllm import LLM, SamplingParams

    from regioncap.engines.vllm import chat_text
    from regioncap.engines.vllm_start import engine_arguments

    llm = LLM(**engine_arguments(Path(options.model), options.engine_args, options.max_pixels))
    sampling = SamplingParams(temperature=0, max_tokens=options.max_tokens)
    tokenizer = llm.get_tokenizer()

    def prompts(chosen: Sequence[Path]) -> list[Any]:
        return [
            {
                "prompt": chat_text(tokenizer, request.prompt),
                "multi_modal_data": {"image": Image.open(path).convert("RGB")},
            }
            for request, path in zip(requests_of(chosen, options.max_tokens), chosen, strict=True)
        ]

    llm.generate(prompts(paths[:WARM_UP]), sampling, use_tqdm=False)
    # Nothing that one measurement computed is to help the next.
    llm.reset_prefix_cache()
    started = time.perf_counter()
    outputs = llm.generate(prompts(paths), sampling, use_tqdm=False)
    batched_s = time.perf_counter() - started
    tokens = sum(len(output.outputs[0].token_ids) for output in outputs)
    few = paths[: max(1, len(paths) // 8)]
    llm.reset_prefix_cache()
    started = time.perf_counter()
    for path in few:
        llm.generate(prompts([path]), sampling, use_tqdm=False)
    return {
        "captions_per_s": len(paths) / batched_s,
        "tokens_per_s": tokens / batched_s,
        "one_by_one_captions_per_s": len(few) / (time.perf_counter() - started),
    }


async def run_engine(options: argparse.Namespace, paths: Sequence[Path]) -> dict[str, Any]:
    """Captions a second of the engine with shards in hand, and how full its batch was."""
    from regioncap.engines.vllm import VllmEngine

    engine = VllmEngine(
        options.model, engine_args=options.engine_args, max_pixels=options.max_pixels
    )
    started = time.perf_counter()
    await engine.start()
    start_s = time.perf_counter() - started
    await engine.caption(requests_of(paths[:WARM_UP], options.max_tokens))
    before = engine.stats()
    size = options.shard_size
    shards = [paths[i : i + size] for i in range(0, len(paths), size)]
    occupancy: list[int] = []
    sampler = asyncio.create_task(_sample(engine, occupancy))
    started = time.perf_counter()
    answers = await _caption_shards(engine, shards, options)
    seconds = time.perf_counter() - started
    sampler.cancel()
    after = engine.stats()
    await engine.close()
    if failed := [answer for answer in answers if not isinstance(answer, Answer)]:
        raise failed[0]
    looked_up = max(1, after.prefix_tokens - before.prefix_tokens)
    return {
        "start_s": start_s,
        "captions_per_s": len(answers) / seconds,
        "tokens_per_s": sum(a.completion_tokens for a in answers) / seconds,
        "prefix_hit_rate": (after.prefix_hits - before.prefix_hits) / looked_up,
        "occupancy": occupancy,
    }


async def _caption_shards(engine: Any, shards: list[Any], options: argparse.Namespace) -> list[Any]:
    waiting = list(reversed(shards))
    answers: list[Any] = []

    async def caller() -> None:
        while waiting:
            shard = waiting.pop()
            answers.extend(await engine.caption(requests_of(shard, options.max_tokens)))

    await asyncio.gather(*(caller() for _ in range(options.in_hand)))
    return answers


async def _sample(engine: Any, occupancy: list[int]) -> None:
    while True:
        occupancy.append(engine.stats().running)
        await asyncio.sleep(SAMPLE_S)


def main(arguments: Sequence[str] | None = None) -> None:
    """Runs both sides and prints the comparison."""
    options = _parse(arguments)
    if options.side:
        paths = sorted(Path(options.pictures).glob("*.jpg"))
        plain = options.side == "plain"
        found = run_plain(options, paths) if plain else asyncio.run(run_engine(options, paths))
        Path(options.out).write_text(json.dumps(found))
        return
    with tempfile.TemporaryDirectory() as folder:
        write_scenes(Path(folder), options.records)
        if options.tiny:
            _prepare_tiny(options, Path(folder) / "tiny")
        figures = {side: _run_side(options, side, Path(folder)) for side in ("plain", "engine")}
    _report(options, figures)


def _report(options: argparse.Namespace, figures: dict[str, dict[str, Any]]) -> None:
    plain, engine = figures["plain"], figures["engine"]
    ratio = engine["captions_per_s"] / plain["captions_per_s"]
    if options.json:
        print(json.dumps(figures | {"ratio": ratio}))
        return
    print(f"{options.records} records, {options.in_hand} shards of {options.shard_size} in hand")
    for name, side in figures.items():
        rates = f"{side['captions_per_s']:8.1f} captions/s {side['tokens_per_s']:8.0f} tokens/s"
        print(f"{name:8}{rates}")
    print(f"plain, one by one: {plain['one_by_one_captions_per_s']:.1f} captions/s")
    print(f"engine / plain: {ratio:.2f}; prefix cache hits {engine['prefix_hit_rate']:.0%}")
    print(f"engine start: {engine['start_s']:.0f} s, once for each worker")
    print(f"requests in the batch, every {SAMPLE_S} s: {engine['occupancy']}")


def _run_side(options: argparse.Namespace, side: str, folder: Path) -> dict[str, Any]:
    out = folder / f"{side}.json"
    command = [
        sys.executable, "-m", "bench.engine", "--side", side, "--pictures", folder, "--out", out,
        "--model", options.model, "--engine-args", json.dumps(options.engine_args),
        "--max-tokens", options.max_tokens, "--max-pixels", options.max_pixels,
        "--shard-size", options.shard_size, "--in-hand", options.in_hand,
    ]  # fmt: skip
    subprocess.run([str(part) for part in command], check=True, stdout=sys.stderr)
    found: dict[str, Any] = json.loads(out.read_text())
    return found


def _prepare_tiny(options: argparse.Namespace, folder: Path) -> None:
    os.environ.update(TINY_ENVIRONMENT | {"PYTHONPATH": str(SHIM)})
    make = f"from pathlib import Path; make_tiny_qwen(Path({str(folder)!r}))"
    code = "from tests.support.tiny_qwen import make_tiny_qwen; " + make
    subprocess.run([sys.executable, "-c", code], check=True, stdout=sys.stderr)
    options.model, options.engine_args = str(folder), TINY_ARGS | options.engine_args


def _parse(arguments: Sequence[str] | None) -> argparse.Namespace:
    parser = argparse.ArgumentParser(description=(__doc__ or "").split("\n", maxsplit=1)[0])
    which = parser.add_mutually_exclusive_group(required=True)
    which.add_argument("--model", help="folder of a Qwen2.5-VL")
    which.add_argument("--tiny", action="store_true", help="the tests' tiny model")
    parser.add_argument("--records", type=int, default=256)
    parser.add_argument("--max-tokens", type=int, default=64)
    parser.add_argument("--max-pixels", type=int, default=1_003_520)
    parser.add_argument("--shard-size", type=int, default=32)
    parser.add_argument("--in-hand", type=int, default=4, help="shards in hand at once")
    parser.add_argument("--engine-args", type=json.loads, default={})
    parser.add_argument("--json", action="store_true")
    for internal in ("--side", "--pictures", "--out"):
        parser.add_argument(internal, help=argparse.SUPPRESS)
    return parser.parse_args(arguments)


if __name__ == "__main__":
    main()
