"""Captions a second of the whole system on a GPU, beside a plain `LLM.generate`.

    python -m bench.gpu [--shape 3b|7b|toy] [--model FOLDER] [--rows small,large/system,...]

A model of that shape with random weights is made, unless a folder is named; answers have their full
length on all sides. For each case (small: pictures of 391 tokens, one region, 128 tokens of answer;
large: of 1,271 tokens; regions: five of them; long: 400 tokens of answer) there are three rows:

plain     one call of `LLM.generate` with vLLM's defaults, in a process of its own; the marked
          pictures are read and decoded by threads, on the clock
engine    our engine in a caption worker, asked for all of them at once
system    a job through queue, render worker, object store and that same caption worker, from its
          first message to `_SUCCESS`, with all guarantees

Engine and system take turns, and no picture comes twice. With `--together` the plain side's engine
is up beside ours; let the engine arguments then share out the GPU by `gpu_memory_utilization` and
`kv_cache_memory_bytes`, as each engine would count the other's memory. Each row is printed and
written to FOLDER/gpu-<card>-<model>.json as soon as it is there. What does not fit into the budget
is said to be not run; later runs add to the file. FLOPs are counted as bench/gpu/flops.py says, and
compared with a large product of matrices on the same machine. Without a GPU it runs on the
processor, which is of use for the toy alone.
"""

from __future__ import annotations

import argparse
import json
import os
import re
import shutil
import subprocess
import sys
import tempfile
from collections.abc import Iterator
from contextlib import contextmanager, suppress
from datetime import UTC, datetime
from pathlib import Path
from typing import Any

from bench import as_command, report
from bench.engine import TINY_ARGS, TINY_ENVIRONMENT
from bench.gpu.budget import Budget
from bench.gpu.cases import cases
from bench.gpu.ledger import SIDES, Ledger
from bench.gpu.session import Session
from regioncap.engines.cpu import SHIM
from regioncap.engines.gpu import Gpu, visible_gpus
from regioncap.engines.vllm_start import DEFAULT_MAX_PIXELS, MODEL_MIN_PIXELS
from regioncap.local import LocalStack

ROOT = Path(__file__).parents[2]
#: Images of the first case in a run: some seconds beyond the filling of the batch.
RECORDS = {"3b": 1536, "7b": 768, "toy": 24}
#: By default vLLM looks at the largest picture that the model takes when it starts, for minutes.
_NO_LARGER_PICTURES = {
    "mm_processor_kwargs": {
        "size": {"shortest_edge": MODEL_MIN_PIXELS, "longest_edge": DEFAULT_MAX_PIXELS}
    }
}
_MATRIX_LIMIT_S = 90.0
_SHAPE_LIMIT_S = 240.0


def main() -> None:
    """Measures what fits into the budget."""
    options = _options()
    budget = Budget(options.budget_s)
    gpus = visible_gpus()
    if not gpus:
        _on_the_processor(options)
    with tempfile.TemporaryDirectory(prefix="regioncap-bench-") as name:
        about = report.about(options) | {"gpus": [_told(gpu) for gpu in gpus]}
        print(json.dumps({key: about[key] for key in ("machine", "versions", "gpus")}), flush=True)
        matrix = _matrix(budget)
        model = options.model or _make_model(options.shape, Path(name), bool(gpus), budget)
        file = options.folder / f"gpu-{_card(gpus)}-{model.name}.json"
        ledger = Ledger(file, f"{datetime.now(UTC):%Y%m%dT%H%M%SZ}", about | {"matrix": matrix})
        with LocalStack(Path(name) / "stack") as stack, _kept_logs(stack, options.logs):
            Session(options, model, stack, ledger, budget).run()
            print(f"\n{_title(gpus, model, matrix)}\n{ledger.table()}", flush=True)
        if file.exists():
            print(file, flush=True)


def _options() -> argparse.Namespace:
    parser = argparse.ArgumentParser(
        description=__doc__, formatter_class=argparse.RawDescriptionHelpFormatter
    )
    parser.add_argument("--shape", choices=RECORDS, default="3b")
    parser.add_argument("--model", type=Path, help="folder of a Qwen2.5-VL, instead of a made one")
    parser.add_argument(
        "--rows", type=_row_names, default=[], help="cases, sides or case/side [all]"
    )
    parser.add_argument("--budget-s", type=float, default=520, help="seconds for all")
    parser.add_argument("--start-s", type=float, default=95, help="of a first engine, about")
    parser.add_argument("--row-limit-s", type=float, default=120, help="seconds for one run")
    parser.add_argument("--records", type=int, help="images in a run of the first case")
    parser.add_argument("--runs", type=int, default=2, help="of each row, if there is time")
    parser.add_argument("--shard-size", type=int, help="records in a shard [the default]")
    parser.add_argument("--in-hand", type=int, help="shards in hand [the default]")
    parser.add_argument("--temperature", type=float, default=0.7)
    parser.add_argument("--engine-args", type=json.loads, default={}, help="of both sides, JSON")
    parser.add_argument(
        "--together", action="store_true", help="both engines stay up: one start to wait for"
    )
    parser.add_argument(
        "--start-again", action="store_true", help="time a second start of our engine at the end"
    )
    parser.add_argument("--logs", type=Path, help="folder that the engines' logs are copied to")
    parser.add_argument("--folder", type=Path, default=ROOT / "docs" / "performance")
    options = parser.parse_args()
    options.records = options.records or RECORDS[options.shape]
    return options


@contextmanager
def _kept_logs(stack: LocalStack, folder: Path | None) -> Iterator[None]:
    try:
        yield
    finally:
        if folder is not None:
            folder.mkdir(parents=True, exist_ok=True)
            for name in ("plain", "resident"):
                with suppress(FileNotFoundError):  # it was not started
                    shutil.copy(stack.folder / "logs" / f"{name}.log", folder)


def _row_names(text: str) -> list[str]:
    names = [case.name for case in cases(toy=False)]
    known = {*names, *SIDES, *(f"{case}/{side}" for case in names for side in SIDES)}
    chosen = [name for name in text.split(",") if name]
    if unknown := [name for name in chosen if name not in known]:
        raise argparse.ArgumentTypeError(f"{unknown[0]!r} is none of {', '.join(sorted(known))}")
    return chosen


def _on_the_processor(options: argparse.Namespace) -> None:
    path = os.pathsep.join(filter(None, (str(SHIM), os.environ.get("PYTHONPATH"))))
    os.environ.update(TINY_ENVIRONMENT | {"PYTHONPATH": path})
    options.engine_args = TINY_ARGS | _NO_LARGER_PICTURES | options.engine_args


def _matrix(budget: Budget) -> dict[str, Any]:
    """The rate of large products of matrices; measured in a process, which leaves the GPU free."""
    command = [sys.executable, "-m", "bench.gpu.matrix"]
    try:
        done = subprocess.run(
            command,
            stdout=subprocess.PIPE,
            check=True,
            text=True,
            timeout=budget.limit_s(_MATRIX_LIMIT_S),
        )
    except subprocess.SubprocessError as error:
        print(f"matrix rate: not run: {error}", flush=True)
        return {}
    found: dict[str, Any] = json.loads(done.stdout.splitlines()[-1])
    print(f"matrix rate: {found['tflops']:.3g} TFLOP/s, bfloat16, side {found['side']}", flush=True)
    return found


def _make_model(shape: str, folder: Path, cuda: bool, budget: Budget) -> Path:
    device = "cuda" if cuda else "cpu"
    subprocess.run(
        [sys.executable, "-m", "bench.gpu.shapes", str(folder / shape), shape, device],
        check=True,
        timeout=budget.limit_s(_SHAPE_LIMIT_S),
    )
    return folder / shape


def _told(gpu: Gpu) -> dict[str, Any]:
    return {
        "name": gpu.name,
        "driver": gpu.driver,
        "memory_gib": round(gpu.total_bytes / 2**30, 1),
        "compute_capability": gpu.compute_capability,
    }


def _card(gpus: list[Gpu]) -> str:
    name = gpus[0].name.lower().removeprefix("nvidia") if gpus else "cpu"
    return re.sub(r"[^a-z0-9]+", "-", name).strip("-")


def _title(gpus: list[Gpu], model: Path, matrix: dict[str, Any]) -> str:
    rate = f", matrix rate {matrix['tflops']:.3g} TFLOP/s" if matrix else ""
    return f"{gpus[0].name if gpus else 'no GPU'}, {model.name}{rate}"


if __name__ == "__main__":
    as_command(main)
