"""Engines: what turns a marked picture and a prompt into text.

base         the protocol of engines, and what they are asked
baseline     measures colours, without a model;  looks  has the words for them
openai       any server that speaks OpenAI's protocol;  chat_answers  what it says, read
pressure     how many requests such a server gets at once
vllm         vLLM in this process;  vllm_start  its options, and what is checked before it starts
renderers    threads that prepare pictures for it;  chat_template  words, as its model wants them
deadline     how long a request may take;  offspring  its processes, which end with this one
model        where the weights are;  model_files  whether they are whole;  small_model  our own
model_grid   how a model takes pictures
preflight    whether an engine can start at all, asked before services start
gpu, cuda_libraries  what is there to start on;  cpu  what it takes without a GPU
gpu_groups   which worker has which GPUs;  gpu_devices, gpu_locks  what there is, and who holds it
memory       what of a GPU a model takes, by calculation
toolchain    what vLLM compiles with;  compile_cache  what it keeps of that for later starts
thread       an engine on an event loop of its own, for callers in many threads

Adding one: a module here with a class of the `Engine` protocol and a function `from_settings`, and
its name in `EngineName` of settings.py.
"""

from __future__ import annotations

import math
from importlib import import_module
from typing import Any

from regioncap.engines.base import Engine
from regioncap.settings import Settings


def make(settings: Settings) -> Engine:
    """The engine that the settings name, not started yet.

    Raises:
        EngineStartError: What it needs is not installed.
        UsageError: Its settings do not fit.
    """
    engine: Engine = import_module(f"{__name__}.{settings.engine}").from_settings(settings)
    return engine


def gpus(settings: Settings) -> int:
    """Number of GPUs that the engine of these settings uses; 0 if it is not known."""
    if settings.engine != "vllm":
        return 0
    return split(settings) * int(argument(settings, "data_parallel_size", 1))


def split(settings: Settings) -> int:
    """Among how many GPUs vLLM splits a model; each copy (`data_parallel_size`) is a whole one."""
    sizes = ("tensor_parallel_size", "pipeline_parallel_size")
    return math.prod(int(argument(settings, size, 1)) for size in sizes)


def argument(settings: Settings, name: str, default: Any) -> Any:
    """An engine argument of the settings; dashes in its name count as underscores."""
    given = {each.replace("-", "_"): value for each, value in settings.engine_args.items()}
    return given.get(name, default)
