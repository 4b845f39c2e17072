"""Threads that prepare pictures for vLLM.

A picture is decoded, and the model's processor resizes it, scales its values and cuts it into
patches: milliseconds of one core for each. vLLM does the latter in one thread (0.32), or in several
that its event loop is asked between each two steps (0.26). Here each picture is prepared in one go,
by several threads, so that a fast GPU does not wait for it.
"""

from __future__ import annotations

import os
from collections.abc import Mapping
from concurrent.futures import ThreadPoolExecutor
from typing import TYPE_CHECKING, Any

from regioncap.engines.gpu import all_gpus, visible_gpus

if TYPE_CHECKING:
    from vllm.v1.engine.async_llm import AsyncLLM

#: More are no faster: what they do under Python's lock takes a part of it that they share.
_MOST = 8


def threads_for(cores: int, mine: int, gpus: int) -> int:
    """How many threads prepare the pictures of one engine: half of its share of the cores.

    Args:
        cores: Of the machine, as far as this process may use them.
        mine: GPUs of this engine.
        gpus: GPUs of the machine.
    """
    return max(1, min(_MOST, cores * mine // (2 * max(1, gpus))))


def arguments(given: Mapping[str, Any], *, for_cpu: bool) -> dict[str, Any]:
    """Engine arguments for as many threads as suit this machine, unless the user chose.

    One where the model itself runs on the cores.

    vLLM's cache of processed pictures is left out, as hardly a picture comes twice: it must be
    asked in the order in which the engine's core is, which several threads do not keep, nor does a
    request that is cancelled on its way there. Whoever names it gets one thread.
    """
    if given.get("mm_processor_cache_gb"):
        return {}
    if for_cpu:
        threads = 1
    else:
        cores = len(os.sched_getaffinity(0))
        threads = threads_for(cores, len(visible_gpus()), len(all_gpus()))
    return {"renderer_num_workers": threads, "mm_processor_cache_gb": 0}


def start(arguments: Mapping[str, Any]) -> ThreadPoolExecutor:
    """The threads, as many as the engine's arguments say.

    Each computes on one core: together they have enough.
    """
    cached = arguments.get("mm_processor_cache_gb")
    threads = 1 if cached else int(arguments.get("renderer_num_workers", 1))
    if threads > 1:
        import torch

        torch.set_num_threads(1)
    return ThreadPoolExecutor(threads, thread_name_prefix="render")


def render(llm: AsyncLLM, prompt: dict[str, Any]) -> Any:
    """What the engine takes in place of a prompt with a picture; may be called in several threads.

    Raises:
        ValueError: The prompt cannot be prepared, as it is too long.
    """
    from vllm.renderers.inputs.preprocess import parse_model_prompt

    (rendered,) = llm.renderer.render_cmpl([parse_model_prompt(llm.model_config, prompt)])
    return rendered
