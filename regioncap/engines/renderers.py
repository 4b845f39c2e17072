"""Threads that prepare pictures for vLLM, as its own API server has them.

The model's processor resizes a picture, scales its values and cuts it into patches: milliseconds of
one core for each. vLLM does so on the event loop of the process that asks, one picture after the
other, unless prompts come rendered; with several threads a fast GPU does not wait for it.
"""

from __future__ import annotations

import os
from collections.abc import Mapping
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

    Several threads and vLLM's cache of processed pictures exclude each other, and hardly a picture
    comes twice: whoever names the cache gets one thread.
    """
    if "renderer_num_workers" in given:
        threads = int(given["renderer_num_workers"])
    elif for_cpu or given.get("mm_processor_cache_gb"):
        threads = 1
    else:
        cores = len(os.sched_getaffinity(0))
        threads = threads_for(cores, len(visible_gpus()), len(all_gpus()))
    return {"renderer_num_workers": threads, "mm_processor_cache_gb": 0} if threads > 1 else {}


def prepare(arguments: Mapping[str, Any]) -> None:
    """Has each of several threads compute on one core: together they have enough."""
    if arguments.get("renderer_num_workers", 1) > 1:
        import torch

        torch.set_num_threads(1)


def most_in_hand(arguments: Mapping[str, Any]) -> int:
    """How many pictures are decoded and prepared at a time: enough that no thread waits for one.

    Decoded, a picture takes some ten times the memory of its file, and the last ones of a full
    batch wait for all others.
    """
    return 2 * int(arguments.get("renderer_num_workers", 1)) + 2


async def render(llm: AsyncLLM, prompt: dict[str, Any]) -> Any:
    """What the engine takes in place of a prompt with a picture, prepared in vLLM's threads.

    Raises:
        ValueError: The prompt cannot be prepared, as it is too long.
    """
    from vllm.renderers.inputs.preprocess import parse_model_prompt

    parsed = parse_model_prompt(llm.model_config, prompt)
    (rendered,) = await llm.renderer.render_cmpl_async([parsed])
    return rendered
