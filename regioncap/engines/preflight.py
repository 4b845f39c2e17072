"""Preflight: whether an engine can start at all, asked before any service starts for it.

Each look is one try and takes seconds: a start that is hopeless is told of with its cause, and not
found in a worker's log minutes later. What passes here may still fail; the start itself tells then.
"""

from __future__ import annotations

import asyncio
from dataclasses import replace

from regioncap.engines.cpu import is_built_for_cpu
from regioncap.engines.gpu import check_memory, visible_gpus
from regioncap.engines.model import is_offline, local_model
from regioncap.engines.model_files import weights_bytes
from regioncap.errors import EngineStartError
from regioncap.packages import install_line, is_installed
from regioncap.settings import Settings

#: Longest wait for a server's list of models.
_SERVER_S = 10.0


def check(settings: Settings) -> str:
    """Looks whether the engine of these settings can start on this machine.

    Returns:
        What captions, and what that means, in one line for people.

    Raises:
        EngineStartError: It cannot; the hint says what to change.
    """
    if settings.engine == "openai":
        return _check_server(settings)
    if settings.engine == "vllm":
        return _check_vllm(settings)
    return (
        "captions come from the engine baseline, which is no model: it measures colours and places"
        " and knows no things; --engine vllm or --engine openai captions with a model"
    )


def _check_server(settings: Settings) -> str:
    from regioncap.engines.openai import from_settings  # raises where its package is missing

    engine = from_settings(settings)
    asyncio.run(engine.look(_SERVER_S))
    return f"captions come from {engine.model or 'its model'} at {engine.address}"


def _check_vllm(settings: Settings) -> str:
    if not is_installed("vllm"):
        raise EngineStartError(
            "vLLM is not installed here",
            code="vllm-missing",
            hint=f"{install_line('vllm')}, in a fresh virtual environment; or --engine openai for a"
            " server elsewhere",
        )
    said = f"captions come from {settings.model} in vLLM"
    try:
        found = local_model(settings)
    except EngineStartError as error:
        if error.code != "hub-unreachable" or is_offline():
            raise
        return f"{said}, which is brought from the Hub first"
    if not is_built_for_cpu():
        _check_gpus(settings, weights_bytes(found.folder))
    return said


def _check_gpus(settings: Settings, needed_bytes: int) -> None:
    """Checks that the model's weights can fit; what else uses a GPU is for the start to tell."""
    given = {name.replace("-", "_"): value for name, value in settings.engine_args.items()}
    split = int(given.get("tensor_parallel_size", 1))
    whole = [replace(gpu, free_bytes=gpu.total_bytes) for gpu in visible_gpus()]
    check_memory(
        whole,
        weights_bytes=needed_bytes // int(given.get("pipeline_parallel_size", 1)),
        utilization=float(given.get("gpu_memory_utilization", 1.0)),
        tensor_parallel_size=split,
    )
