"""vLLM without a GPU: for trying, and for tests."""

from __future__ import annotations

import importlib.util
import os
import sys
from collections.abc import MutableMapping
from importlib import metadata
from pathlib import Path
from typing import Any

from regioncap.engines.cuda_libraries import torch_cuda

#: Its `sitecustomize` is run by each Python that has this folder on PYTHONPATH.
SHIM = Path(__file__).parent / "torchvision_shim"
#: Engine arguments for the model that comes with RegionCap, which is so small that what fits large
#: ones only costs: compiling takes a minute, and a CPU has no bfloat16 of its own.
SMALL_ARGUMENTS: dict[str, Any] = {"dtype": "float32", "enforce_eager": True, "block_size": 32}
#: GiB for keys and values; by default vLLM takes a share of the machine's memory.
_SMALL_CACHE_GIB = "1"


def is_built_for_cpu() -> bool:
    """Whether the PyTorch that is installed knows no CUDA."""
    return importlib.util.find_spec("torch") is not None and torch_cuda() is None


def mend_torchvision(environ: MutableMapping[str, str] = os.environ) -> bool:
    """Makes torchvision importable here, and in processes started from here; returns whether.

    Done only where it is needed: where it was built for CUDA and PyTorch was not, as PyPI has both.
    """
    if not _needs_shim():
        return False
    path = environ.get("PYTHONPATH", "").split(os.pathsep)
    if str(SHIM) not in path:
        environ["PYTHONPATH"] = os.pathsep.join(filter(None, [str(SHIM), *path]))
    if "torchvision" not in sys.modules:
        _run_shim()
    return True


def fit_small(environ: MutableMapping[str, str] = os.environ) -> None:
    """Has vLLM take no more memory for a model of megabytes than it needs."""
    environ.setdefault("VLLM_CPU_KVCACHE_SPACE", _SMALL_CACHE_GIB)


def _needs_shim() -> bool:
    try:
        version = metadata.version("torchvision")
    except metadata.PackageNotFoundError:
        return False
    return is_built_for_cpu() and not version.endswith("+cpu")


def _run_shim() -> None:
    # This interpreter started before PYTHONPATH said so.
    name = "regioncap_torchvision_shim"
    spec = importlib.util.spec_from_file_location(name, SHIM / "sitecustomize.py")
    if spec is None or spec.loader is None or name in sys.modules:
        return
    module = importlib.util.module_from_spec(spec)
    sys.modules[name] = module  # what it declares lives as long as it does
    spec.loader.exec_module(module)
