"""What vLLM compiles with while it starts, and whether it is there.

On a GPU Triton compiles a small C module before its first kernel, and FlashInfer, which draws
vLLM's tokens, compiles its sampler with nvcc unless the package flashinfer-jit-cache has it ready.
vLLM finds out only when the model is loaded, and its core dies then
(https://github.com/vllm-project/vllm/issues/49497). On a CPU PyTorch compiles C++.
"""

from __future__ import annotations

import importlib.util
import logging
import os
import shutil
import sys
import sysconfig
from collections.abc import Mapping, MutableMapping
from importlib import metadata
from pathlib import Path

from regioncap.engines.compile_cache import triton_folders
from regioncap.errors import EngineStartError

#: vLLM's own switch between FlashInfer's sampler (1, its default) and its own (0).
SAMPLER = "VLLM_USE_FLASHINFER_SAMPLER"
_CUDA_HOME = "/usr/local/cuda"

_log = logging.getLogger(__name__)


def prepare(*, for_cpu: bool, eager: bool, environ: MutableMapping[str, str] = os.environ) -> None:
    """Sees that vLLM can compile what it will; where it can do without, has it do without.

    Args:
        for_cpu: Whether vLLM runs on the CPU.
        eager: Whether it compiles no model (`enforce_eager`).
        environ: The environment that vLLM will have; its PATH may get this Python's programs, and
            the sampler may be chosen in it.

    Raises:
        EngineStartError: `compiler-missing` or `sampler-missing`.
    """
    add_own_programs(environ)
    if lacks := compiler_lacks(environ, for_cpu=for_cpu, eager=eager):
        raise EngineStartError(
            f"vLLM cannot compile what it starts with: {lacks}",
            code="compiler-missing",
            hint=COMPILER_REMEDY,
        )
    if for_cpu or not (missing := sampler_lacks(environ)):
        return
    if environ.get(SAMPLER, "0") != "0":
        raise EngineStartError(
            f"{SAMPLER} asks for FlashInfer's sampler, and it lacks {missing}",
            code="sampler-missing",
            hint=f"unset {SAMPLER}, or {SAMPLER_REMEDY}",
        )
    environ[SAMPLER] = "0"
    _log.warning(
        "tokens are drawn by vLLM's own sampler: FlashInfer's lacks %s; %s", missing, SAMPLER_REMEDY
    )


COMPILER_REMEDY = (
    "install a compiler and Python's headers (apt-get install build-essential python3-dev), or"
    " name one in CC and CXX"
)
SAMPLER_REMEDY = (
    "install flashinfer-jit-cache of flashinfer-python's version, or a CUDA toolkit (CUDA_HOME),"
    " ninja and a C++ compiler"
)


def add_own_programs(environ: MutableMapping[str, str]) -> None:
    """Lets ninja be found that came into this Python's environment, activated or not."""
    own = Path(sys.executable).parent
    path = environ.get("PATH", os.defpath)
    if shutil.which("ninja", path=path) is None and (own / "ninja").exists():
        environ["PATH"] = os.pathsep.join(filter(None, [path, str(own)]))


def compiler_lacks(environ: Mapping[str, str], *, for_cpu: bool, eager: bool) -> str:
    """What is missing that vLLM cannot start without, in words; empty if nothing is."""
    if for_cpu:
        has = eager or _has(environ, "CXX", "g++", "clang++")
        return "" if has else "there is no C++ compiler"
    missing = []
    if not _has(environ, "CC", "gcc", "clang"):
        missing.append("there is no C compiler")
    if not _has_headers(environ):
        missing.append("Python.h is not there")
    # What an earlier start compiled does.
    return "" if missing and _has_compiled(environ) else " and ".join(missing)


def sampler_lacks(environ: Mapping[str, str]) -> str:
    """What FlashInfer's sampler lacks, in words; empty if it can be used, or is not asked for."""
    if environ.get(SAMPLER) == "0":
        return ""
    if importlib.util.find_spec("flashinfer") is None:
        return "the package flashinfer-python"
    own, ready = _version("flashinfer-python"), _version("flashinfer-jit-cache")
    if ready is not None:
        return "" if ready == own else f"flashinfer-jit-cache {own} (there is {ready})"
    missing = [] if _nvcc(environ) else ["nvcc"]
    missing += [] if _has(environ, "", "ninja") else ["ninja"]
    missing += [] if _has(environ, "CXX", "g++", "clang++", "c++") else ["a C++ compiler"]
    return " and ".join(missing)


def _nvcc(environ: Mapping[str, str]) -> str | None:
    """Where FlashInfer looks for it."""
    home = environ.get("CUDA_HOME") or environ.get("CUDA_PATH")
    if not home:
        found = shutil.which("nvcc", path=environ.get("PATH"))
        home = str(Path(found).parents[1]) if found else _CUDA_HOME
    return shutil.which(str(Path(home) / "bin" / "nvcc"))


def _has(environ: Mapping[str, str], variable: str, *programs: str) -> bool:
    named = environ.get(variable, "").split()
    # With arguments behind it, as `ccache gcc`.
    wanted = named[:1] if named else programs
    return any(shutil.which(program, path=environ.get("PATH")) for program in wanted)


def _has_headers(environ: Mapping[str, str]) -> bool:
    scheme = sysconfig.get_default_scheme().replace("posix_local", "posix_prefix")  # as Triton does
    folders = [sysconfig.get_paths(scheme)["include"]]
    for variable in ("CPATH", "C_INCLUDE_PATH"):
        folders += filter(None, environ.get(variable, "").split(os.pathsep))
    return any((Path(folder) / "Python.h").is_file() for folder in folders)


def _has_compiled(environ: Mapping[str, str]) -> bool:
    """Whether an earlier start has left Triton's module."""
    return any(True for folder in triton_folders(environ) for _ in folder.glob("**/cuda_utils*.so"))


def _version(package: str) -> str | None:
    try:
        return metadata.version(package).split("+", maxsplit=1)[0]
    except metadata.PackageNotFoundError:
        return None
