"""The same questions asked the plain way: `LLM.generate` in a loop, and the model in transformers.

Run as a script in a process of its own: `python plain_vllm.py TASK.json ANSWERS.json`. Writes
`{"plain": [[token, ...], ...], "transformers": [[token, ...], ...]}`, as the questions stand.
"""

from __future__ import annotations

import json
import sys
from pathlib import Path
from typing import Any

from PIL import Image


def lay_out(processor: Any, question: dict[str, str]) -> str:
    """The question by the model's chat template, as transformers does it."""
    content = [
        {"type": "text", "text": question["before"]},
        {"type": "image"},
        {"type": "text", "text": question["after"]},
    ]
    chat = [
        {"role": "system", "content": question["system"]},
        {"role": "user", "content": content},
    ]
    return str(processor.apply_chat_template(chat, add_generation_prompt=True))


def ask_plainly(task: dict[str, Any], texts: list[str]) -> list[list[int]]:
    from vllm import LLM, SamplingParams

    llm = LLM(model=task["model"], **task["engine_args"])
    sampling = SamplingParams(temperature=0, max_tokens=task["max_tokens"])
    answers = []
    for question, text in zip(task["questions"], texts, strict=True):
        image = Image.open(question["image"]).convert("RGB")
        prompt = {"prompt": text, "multi_modal_data": {"image": image}}
        (output,) = llm.generate([prompt], sampling, use_tqdm=False)
        answers.append(list(output.outputs[0].token_ids))
    return answers


def ask_transformers(task: dict[str, Any], texts: list[str], processor: Any) -> list[list[int]]:
    import torch
    from transformers import Qwen2_5_VLForConditionalGeneration

    model = Qwen2_5_VLForConditionalGeneration.from_pretrained(task["model"], dtype=torch.bfloat16)
    answers = []
    for question, text in zip(task["questions"], texts, strict=True):
        image = Image.open(question["image"]).convert("RGB")
        inputs = processor(text=[text], images=[image], return_tensors="pt")
        output = model.generate(**inputs, max_new_tokens=task["max_tokens"], do_sample=False)
        answers.append(output[0, inputs["input_ids"].shape[1] :].tolist())
    return answers


def main(task: dict[str, Any], target: Path) -> None:
    from transformers import AutoProcessor

    processor = AutoProcessor.from_pretrained(task["model"])
    texts = [lay_out(processor, question) for question in task["questions"]]
    answers = {
        "transformers": ask_transformers(task, texts, processor),
        "plain": ask_plainly(task, texts),
    }
    target.write_text(json.dumps(answers))


if __name__ == "__main__":
    main(json.loads(Path(sys.argv[1]).read_text()), Path(sys.argv[2]))
