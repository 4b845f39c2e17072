"""What stands before a vLLM engine: its arguments, its environment, and whether it fits here."""

from __future__ import annotations

import difflib
import importlib.util
import os
import re
from dataclasses import fields
from pathlib import Path
from typing import TYPE_CHECKING, Any

from regioncap.engines.cpu import SMALL_ARGUMENTS, mend_torchvision
from regioncap.engines.cuda_libraries import prefer_wheel_libraries
from regioncap.engines.gpu import check_memory, logged_orphans, visible_gpus
from regioncap.engines.model_files import weights_bytes
from regioncap.errors import EngineStartError
from regioncap.job import Grid
from regioncap.packages import install_line
from regioncap.views.sizes import CELL_PX

if TYPE_CHECKING:
    from vllm.v1.engine.async_llm import AsyncLLM

#: The least that the model's own image processor leaves as it is, in tokens.
MIN_TOKENS = 4
MODEL_MIN_PIXELS = MIN_TOKENS * CELL_PX**2
DEFAULT_MAX_PIXELS = 1280 * CELL_PX**2
#: Room for the prompt's words and the answer beside the picture, in tokens.
TEXT_TOKENS = 4096
_GIB = 1 << 30
_QWEN = Grid()


def engine_arguments(
    folder: Path,
    given: dict[str, Any],
    max_pixels: int,
    grid: Grid = _QWEN,
    *,
    for_small: bool = False,
) -> dict[str, Any]:
    """The user's engine arguments over our defaults, all of them known to vLLM.

    Args:
        folder: The model's files.
        given: vLLM's engine arguments by name; dashes count as underscores.
        max_pixels: The pixel budget that pictures were made for.
        grid: How the model takes pictures.
        for_small: Whether the defaults are those for the small model on a CPU.

    Raises:
        EngineStartError: `engine-args-unknown`.
    """
    from vllm.engine.arg_utils import AsyncEngineArgs

    given = {name.replace("-", "_"): value for name, value in given.items()}
    known = [field.name for field in fields(AsyncEngineArgs)]
    for argument in given:
        if argument == "model" or argument not in known:
            raise _unknown_argument(argument, known)
    return {
        "model": str(folder),
        "tensor_parallel_size": 1,
        "limit_mm_per_prompt": {"image": 1, "video": 0},
        **_picture_arguments(grid, max_pixels),
        # Left free, a model may fill its answer with white space. vLLM takes this setting for the
        # whole engine only; the one by request has no effect (0.26 to 0.33).
        "structured_outputs_config": {"backend": "xgrammar", "disable_any_whitespace": True},
        **(SMALL_ARGUMENTS if for_small else {}),
        **given,
    }


def _picture_arguments(grid: Grid, max_pixels: int) -> dict[str, Any]:
    if grid.resizes:
        # What a picture takes is not known: as much room as the memory holds, or the model can use.
        return {"max_model_len": -1}
    cell = grid.cell_px**2
    size = {"shortest_edge": MIN_TOKENS * cell, "longest_edge": max_pixels}
    return {
        "mm_processor_kwargs": {"size": size},
        "max_model_len": max_pixels // cell + TEXT_TOKENS,
    }


def prepare_environment() -> None:
    """Sets what vLLM reads from the environment, as far as the user has not."""
    # This process has threads; a fork of it could inherit a lock that nobody will release.
    os.environ.setdefault("VLLM_WORKER_MULTIPROC_METHOD", "spawn")
    # stdout carries data only.
    os.environ.setdefault("VLLM_LOGGING_STREAM", "ext://sys.stderr")
    os.environ.setdefault("VLLM_NO_USAGE_STATS", "1")
    prefer_wheel_libraries()
    mend_torchvision()
    try:
        import vllm  # noqa: F401
    except ImportError as error:
        raise EngineStartError(
            f"vLLM cannot be imported: {error}",
            code="vllm-missing",
            hint=f"{install_line('vllm')}, in a fresh virtual environment; `regioncap doctor` "
            "checks what is there",
        ) from error


def import_all() -> None:
    """Imports what a start imports: vLLM's engine, and the image processor of the model."""
    prepare_environment()
    import torchvision  # noqa: F401 - the image processor's resize is its
    from transformers.models.qwen2_vl.image_processing_qwen2_vl import (  # noqa: F401
        Qwen2VLImageProcessor,
    )
    from vllm.v1.engine.async_llm import AsyncLLM  # noqa: F401


def default_utilization() -> float:
    """The part of a GPU's memory that vLLM takes unless told otherwise.

    Read from its file, as importing it takes seconds; 0.9 where it does not stand there.
    """
    spec = importlib.util.find_spec("vllm")
    file = Path(spec.origin).parent / "config" / "cache.py" if spec and spec.origin else None
    text = file.read_text("utf-8") if file and file.is_file() else ""
    match = re.search(r"^ +gpu_memory_utilization\b.*?([\d.]+)[,)\n]", text, re.MULTILINE)
    return float(match[1]) if match else 0.9


def check_machine(folder: Path, arguments: dict[str, Any]) -> None:
    """Checks for GPUs and memory ahead: vLLM would tell only in its core's log."""
    from vllm.engine.arg_utils import AsyncEngineArgs
    from vllm.platforms import current_platform

    needed_bytes = weights_bytes(folder)
    if current_platform.is_cpu():
        check_cpu_memory(needed_bytes, int(os.environ.get("VLLM_CPU_KVCACHE_SPACE") or 0) * _GIB)
    elif current_platform.is_cuda() or not current_platform.device_type:
        gpus = visible_gpus()
        left_over = logged_orphans(gpus)
        # Without nvidia-smi, or on a part of a GPU (MIG), the sizes are not known beforehand.
        knows = gpus and "MIG-" not in os.environ.get("CUDA_VISIBLE_DEVICES", "")
        if knows or not current_platform.device_type:
            check_memory(
                gpus,
                weights_bytes=needed_bytes // arguments.get("pipeline_parallel_size", 1),
                utilization=arguments.get(
                    "gpu_memory_utilization", AsyncEngineArgs.gpu_memory_utilization
                ),
                tensor_parallel_size=arguments["tensor_parallel_size"],
                left_over=left_over,
            )


def check_cpu_memory(weights: int, kv_cache: int) -> None:
    """Checks that this machine's memory holds the weights and the key-value cache (bytes).

    Raises:
        EngineStartError: `memory-short`.
    """
    import psutil  # comes with vLLM

    # What is available, not what is free: the system gives up its cache of files when asked to.
    free = psutil.virtual_memory().available
    if weights + kv_cache > free:
        raise EngineStartError(
            f"the model and its cache take {(weights + kv_cache) / _GIB:.1f} GiB, and this machine "
            f"has {free / _GIB:.1f} GiB of memory free",
            code="memory-short",
            hint="lower VLLM_CPU_KVCACHE_SPACE (GiB), or use a smaller model",
        )


def load(arguments: dict[str, Any]) -> AsyncLLM:
    """Starts vLLM inside the running event loop.

    Raises:
        EngineStartError: With what vLLM says.
    """
    from vllm.engine.arg_utils import AsyncEngineArgs
    from vllm.usage.usage_lib import UsageContext
    from vllm.v1.engine.async_llm import AsyncLLM

    try:
        return AsyncLLM.from_engine_args(
            AsyncEngineArgs(**arguments),
            # The batch's limits follow from the use that is named: those of a batch job on a large
            # GPU are eight times those of an engine that names none.
            usage_context=UsageContext.LLM_CLASS,
        )
    except Exception as error:
        said = str(error).strip() or type(error).__name__
        raise EngineStartError(
            f"vLLM could not start: {said}",
            hint="vLLM's log above names the cause; `regioncap doctor` checks the GPU, the "
            "libraries and the model",
        ) from error


def _unknown_argument(argument: str, known: list[str]) -> EngineStartError:
    near = difflib.get_close_matches(argument, known, n=1)
    hint = f"did you mean {near[0]}?" if near else "see `vllm serve --help` for the names"
    if argument == "model":
        hint = "set the model by the setting of that name"
    return EngineStartError(
        f"engine_args names {argument!r}, which is no engine argument to set here",
        code="engine-args-unknown",
        hint=hint,
    )
