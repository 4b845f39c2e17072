"""The same questions asked the plain way: `LLM.generate` in a loop, and the model in transformers.

Run as a script in a process of its own: `python plain_vllm.py TASK.json`. Prints one JSON object:
`{"plain": [[token, ...], ...], "transformers": [[token, ...], ...]}`, as the questions stand.
"""

from __future__ import annotations

import json
import sys
from pathlib import Path
from typing import Any

from PIL import Image


def ask_plainly(task: dict[str, Any]) -> list[list[int]]:
    from vllm import LLM, SamplingParams

    llm = LLM(model=task["model"], **task["engine_args"])
    sampling = SamplingParams(temperature=0, max_tokens=task["max_tokens"])
    answers = []
    for question in task["questions"]:
        prompt = {
            "prompt": question["text"],
            "multi_modal_data": {"image": Image.open(question["image"]).convert("RGB")},
        }
        (output,) = llm.generate([prompt], sampling, use_tqdm=False)
        answers.append(list(output.outputs[0].token_ids))
    return answers


def ask_transformers(task: dict[str, Any]) -> list[list[int]]:
    import torch
    from transformers import AutoProcessor, Qwen2_5_VLForConditionalGeneration

    processor = AutoProcessor.from_pretrained(task["model"])
    model = Qwen2_5_VLForConditionalGeneration.from_pretrained(task["model"], dtype=torch.bfloat16)
    answers = []
    for question in task["questions"]:
        image = Image.open(question["image"]).convert("RGB")
        inputs = processor(text=[question["text"]], images=[image], return_tensors="pt")
        output = model.generate(**inputs, max_new_tokens=task["max_tokens"], do_sample=False)
        answers.append(output[0, inputs["input_ids"].shape[1] :].tolist())
    return answers


if __name__ == "__main__":
    given = json.loads(Path(sys.argv[1]).read_text())
    transformers_answers = ask_transformers(given)
    plain_answers = ask_plainly(given)
    print(json.dumps({"plain": plain_answers, "transformers": transformers_answers}))
