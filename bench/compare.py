"""Against what one would use instead: the Image Region Caption pipeline of DataFlow-MM itself.

    python -m bench.compare --reference FOLDER [--model FOLDER] [--images 64] [--json FILE]

FOLDER is a checkout of github.com/OpenDCAI/DataFlow-MM; its requirements and vLLM must be
importable. Both sides caption the same pictures with the same model, greedily, with as many tokens:

    reference   one process, as its users run it: load, mark everything, caption everything; a
                second job is a second process
    ours        the embedded stack with one render and one caption worker; the first job from the
                start of the stack on, the second on workers that are warm

Without a model the tests' tiny one is made: what is compared then is all but the model. It answers
with noise, and ours asks again for every region that an answer leaves out: so tokens are told too.
"""

from __future__ import annotations

import argparse
import json
import os
import subprocess
import sys
import tempfile
import time
from pathlib import Path
from typing import Any

from bench import as_command, report
from bench.engine import TINY_ARGS, TINY_ENVIRONMENT
from bench.pipeline import time_system, write_input
from producer.commands.stack import start_workers
from regioncap.client import Client
from regioncap.engines.cpu import SHIM
from regioncap.local import LocalStack
from regioncap.settings import load_settings

#: The reference finds the model's class by this name of the folder.
MODEL_NAME = "Qwen2.5-VL-3B-Instruct"


def run_reference(options: argparse.Namespace) -> None:
    """One run of the reference in this process, from its imports on; writes its seconds."""
    begun = time.perf_counter()
    import vllm

    # As our engine is started and asked too: the reference has no way to say so.
    make, params = vllm.LLM, vllm.SamplingParams
    vllm.LLM = lambda **given: make(**{**given, **options.engine_args})
    vllm.SamplingParams = lambda **_: params(temperature=0.0, max_tokens=options.max_tokens)
    from dataflow.statics.pipelines.gpu_pipelines import image_region_caption_pipeline as reference

    work = Path(options.work)
    imported = time.perf_counter()
    pipeline = reference.ImageRegionCaptionPipeline(
        model_path=options.model,
        first_entry_file=options.input,
        cache_path=str(work / "cache"),
        output_image_with_bbox_path=str(work / "cache" / "marked.jsonl"),
    )
    loaded = time.perf_counter()
    pipeline.forward()
    seconds = {
        "import_s": imported - begun,
        "load_s": loaded - imported,
        "forward_s": time.perf_counter() - loaded,
    }
    (work / "seconds.json").write_text(json.dumps(seconds))


def time_reference(options: argparse.Namespace, file: Path, work: Path) -> dict[str, float]:
    """Seconds of a whole run, as a user waits for it, and of its steps."""
    command = [
        sys.executable, "-m", "bench.compare", "--reference", options.reference, "--side",
        "--model", options.model, "--input", file, "--work", work,
        "--max-tokens", options.max_tokens, "--engine-args", json.dumps(options.engine_args),
    ]  # fmt: skip
    path = os.pathsep.join(filter(None, (str(options.reference), os.environ.get("PYTHONPATH"))))
    started = time.perf_counter()
    subprocess.run(
        [str(part) for part in command],
        check=True,
        stdout=subprocess.DEVNULL,
        env=os.environ | {"PYTHONPATH": path},
    )
    whole_s = time.perf_counter() - started
    seconds: dict[str, float] = json.loads((work / "seconds.json").read_text())
    return {"whole_s": whole_s, **seconds}


def time_ours(options: argparse.Namespace, file: Path, work: Path) -> dict[str, float]:
    """Seconds from nothing to the first job's end, and of a second job."""
    os.environ["REGIONCAP_ENGINE_ARGS"] = json.dumps(options.engine_args)
    started = time.perf_counter()
    with LocalStack(work / "stack") as stack:
        settings = load_settings(
            **stack.settings(), engine="vllm", model=options.model, temperature=0.0,
            max_tokens=options.max_tokens, keep_captions=False,
        )  # fmt: skip
        client = Client(settings)
        start_workers(stack, settings, render_workers=1, caption_workers=1)
        ready_s = time.perf_counter() - started
        time_system(client, file)
        whole_s = time.perf_counter() - started
        second_s, _, counts = time_system(client, file)
    return {
        "whole_s": whole_s,
        "start_s": ready_s,
        "second_s": second_s,
        "second_completion_tokens": counts["completion_tokens"],
        "second_failed": counts["failed"],
    }


def measure(options: argparse.Namespace) -> dict[str, Any]:
    """Both sides, the reference first."""
    with tempfile.TemporaryDirectory() as name:
        work = Path(name)
        if options.model is None:
            _make_tiny(options, work / MODEL_NAME)
        file = write_input(work, options.images)
        absolute = _absolute(file)
        return {
            "images": options.images,
            "max_tokens": options.max_tokens,
            "reference": time_reference(options, absolute, work),
            "ours": time_ours(options, file, work),
        }


def _absolute(file: Path) -> Path:
    """The same input with absolute paths, as the reference needs it."""
    made = file.with_name("absolute.jsonl")
    lines = [json.loads(line) for line in file.read_text().splitlines()]
    whole = [line | {"image": str(file.parent / line["image"])} for line in lines]
    made.write_text("\n".join(json.dumps(line) for line in whole))
    return made


def _make_tiny(options: argparse.Namespace, folder: Path) -> None:
    path = os.pathsep.join(filter(None, (str(SHIM), os.environ.get("PYTHONPATH"))))
    os.environ.update(TINY_ENVIRONMENT | {"PYTHONPATH": path})
    make = f"from pathlib import Path; make_tiny_qwen(Path({str(folder)!r}))"
    code = "from tests.support.tiny_qwen import make_tiny_qwen; " + make
    subprocess.run([sys.executable, "-c", code], check=True, stdout=sys.stderr)
    options.model, options.engine_args = str(folder), TINY_ARGS | options.engine_args


def main() -> None:
    """Prints the comparison."""
    parser = report.parser(__doc__, images=64, max_tokens=64)
    parser.add_argument("--reference", type=Path, required=True, help="checkout of DataFlow-MM")
    parser.add_argument("--model", help=f"folder of a model, named {MODEL_NAME}")
    parser.add_argument("--engine-args", type=json.loads, default={})
    parser.add_argument("--side", action="store_true", help=argparse.SUPPRESS)
    parser.add_argument("--input", help=argparse.SUPPRESS)
    parser.add_argument("--work", help=argparse.SUPPRESS)
    options = parser.parse_args()
    if options.side:
        run_reference(options)
        return
    figures = measure(options)
    for side in ("reference", "ours"):
        told = "  ".join(f"{name} {value:.1f}" for name, value in figures[side].items())
        print(f"{side:10} {told}")
    report.save(options, "compare", figures)


if __name__ == "__main__":
    as_command(main)
