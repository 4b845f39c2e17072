"""The GPU side of this machine: what is there, and whether an engine can start on it.

Asks `nvidia-smi` and the file system alone, so that it runs without torch and without touching a
GPU, before an engine starts and in `regioncap doctor`.
"""

from __future__ import annotations

import os
import re
import shutil
import subprocess
from collections.abc import Mapping, Sequence
from dataclasses import dataclass

from regioncap.errors import EngineStartError

_GIB = 1 << 30
_MIB = 1 << 20
_QUERY = "index,uuid,name,memory.total,memory.free,driver_version,compute_cap"


@dataclass(frozen=True, slots=True)
class Gpu:
    """A GPU as the driver tells of it."""

    index: int
    uuid: str
    name: str
    total_bytes: int
    free_bytes: int
    driver: str
    compute_capability: str


def visible_gpus(environ: Mapping[str, str] = os.environ) -> list[Gpu]:
    """The GPUs that an engine started now would use, in its order; none if there is no driver.

    Raises:
        EngineStartError: `gpu-driver`, when the driver is installed and does not answer.
    """
    if (command := shutil.which("nvidia-smi", path=environ.get("PATH"))) is None:
        return []
    done = subprocess.run(  # noqa: S603  # the driver's own tool, no user input
        [command, f"--query-gpu={_QUERY}", "--format=csv,noheader,nounits"],
        capture_output=True,
        text=True,
        timeout=60,
        check=False,
    )
    if done.returncode != 0:
        said = (done.stdout + done.stderr).strip().splitlines() or ["nothing"]
        raise EngineStartError(
            f"nvidia-smi failed: {said[0]}",
            code="gpu-driver",
            hint="install or reload the NVIDIA driver; in a container, start it with --gpus all",
        )
    return _select(parse_gpus(done.stdout), environ.get("CUDA_VISIBLE_DEVICES"))


def parse_gpus(text: str) -> list[Gpu]:
    """Reads what `nvidia-smi --query-gpu` prints: one GPU a line, memory in MiB."""
    gpus = []
    for line in text.strip().splitlines():
        index, uuid, name, total, free, driver, capability = (x.strip() for x in line.split(","))
        gpus.append(Gpu(int(index), uuid, name, _mib(total), _mib(free), driver, capability))
    return gpus


def check_memory(
    gpus: Sequence[Gpu], *, weights_bytes: int, utilization: float, tensor_parallel_size: int
) -> None:
    """Checks that the GPUs have room for the model.

    Args:
        gpus: The visible GPUs in order; the first `tensor_parallel_size` are used.
        weights_bytes: Size of the whole model's weights.
        utilization: The part of each GPU's memory that vLLM takes (`gpu_memory_utilization`).
        tensor_parallel_size: Among how many GPUs the weights are split.

    Raises:
        EngineStartError: `gpu-missing` or `memory-short`.
    """
    if len(gpus) < tensor_parallel_size:
        raise EngineStartError(
            f"{len(gpus)} GPUs are visible, and tensor_parallel_size is {tensor_parallel_size}",
            code="gpu-missing",
            hint="check nvidia-smi and CUDA_VISIBLE_DEVICES, lower tensor_parallel_size, or use "
            "--engine openai (a server elsewhere) or --engine baseline (no model)",
        )
    share_bytes = weights_bytes / tensor_parallel_size
    for gpu in gpus[:tensor_parallel_size]:
        if not gpu.total_bytes:
            continue  # memory shared with the CPU: the driver does not tell
        wanted_bytes = gpu.total_bytes * utilization
        if share_bytes >= wanted_bytes:
            raise EngineStartError(
                f"the model's weights take {share_bytes / _GIB:.1f} GiB of each GPU, and GPU "
                f"{gpu.index} ({gpu.name}) gives {wanted_bytes / _GIB:.1f} GiB",
                code="memory-short",
                hint="use a smaller or quantized model, or a larger tensor_parallel_size",
            )
        if gpu.free_bytes < wanted_bytes:
            fits = int(100 * gpu.free_bytes / gpu.total_bytes) / 100
            raise EngineStartError(
                f"GPU {gpu.index} ({gpu.name}) has {gpu.free_bytes / _GIB:.1f} GiB free, and vLLM "
                f"is to take {wanted_bytes / _GIB:.1f} GiB of it",
                code="memory-short",
                hint="end what else uses the GPU (nvidia-smi lists it), choose another with "
                f"CUDA_VISIBLE_DEVICES, or set gpu_memory_utilization to at most {fits}",
            )


def _select(gpus: list[Gpu], visible: str | None) -> list[Gpu]:
    """Applies CUDA_VISIBLE_DEVICES: indices or UUIDs; what follows an unknown one is hidden."""
    if visible is None or visible.startswith("MIG-"):
        return gpus  # nvidia-smi does not say which GPU a part is of
    chosen: list[Gpu] = []
    for name in filter(None, (part.strip() for part in visible.split(","))):
        match = [g for g in gpus if str(g.index) == name or g.uuid.startswith(name)]
        if not match:
            break
        chosen.append(match[0])
    return chosen


def _mib(text: str) -> int:
    # Boards with memory shared with the CPU answer "[N/A]".
    return int(float(text) * _MIB) if re.fullmatch(r"[\d.]+", text) else 0
