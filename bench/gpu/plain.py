"""The plain side: a process that holds vLLM's `LLM` and answers a bench's tasks with it.

python -m bench.gpu.plain DESK MODEL ENGINE_ARGS
"""

from __future__ import annotations

import json
import sys
import time
from concurrent.futures import ThreadPoolExecutor
from pathlib import Path
from typing import Any

from PIL import Image

from bench import as_command
from bench.gpu import desk
from bench.gpu.desk import Task
from regioncap.records import Prompt


class Plain:
    """vLLM with its own defaults, but for what is given.

    Args:
        model: Folder of the model.
        engine_args: vLLM's engine arguments.
    """

    def __init__(self, model: str, engine_args: dict[str, Any]) -> None:
        from vllm import LLM

        self._llm = LLM(
            model=model, **{"limit_mm_per_prompt": {"image": 1, "video": 0}, **engine_args}
        )

    def answer(self, task: Task) -> Task:
        """Does one task."""
        if task["do"] == "describe":
            return describe(self._llm.llm_engine.vllm_config)
        return self._ask(task)

    def _ask(self, task: Task) -> Task:
        """All questions of a file in one call, pictures read and decoded on the clock."""
        from vllm import SamplingParams

        questions = json.loads(Path(task["questions"]).read_text())
        sampling = SamplingParams(**task["sampling"])
        started = time.perf_counter()
        with ThreadPoolExecutor() as pool:
            prompts = list(pool.map(self._prompt, questions))
        outputs = self._llm.generate(prompts, sampling, use_tqdm=False)
        return {
            "seconds": time.perf_counter() - started,
            "requests": len(outputs),
            "prompt_tokens": sum(len(output.prompt_token_ids or []) for output in outputs),
            "completion_tokens": sum(len(output.outputs[0].token_ids) for output in outputs),
            "cached_tokens": sum(output.num_cached_tokens or 0 for output in outputs),
        }

    def _prompt(self, question: dict[str, str]) -> Any:
        from regioncap.engines.chat_template import chat_text

        words = Prompt(question["system"], question["before"], question["after"])
        with Image.open(question["image"]) as image:
            picture = image.convert("RGB")
        return {
            "prompt": chat_text(self._llm.get_tokenizer(), words),
            "multi_modal_data": {"image": picture},
        }


def describe(vllm_config: Any) -> Task:
    """What bounds the engine's batch."""
    scheduler = vllm_config.scheduler_config
    return {
        "max_num_seqs": scheduler.max_num_seqs,
        "max_num_batched_tokens": scheduler.max_num_batched_tokens,
        "max_model_len": vllm_config.model_config.max_model_len,
    }


def main() -> None:
    """Starts the engine and answers tasks."""
    folder, model, engine_args = sys.argv[1:]
    plain = Plain(model, json.loads(engine_args))
    desk.serve(Path(folder), plain.answer)


if __name__ == "__main__":
    as_command(main)
