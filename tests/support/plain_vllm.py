"""Questions asked the plain way: `LLM.generate` in a loop, and the model in transformers.

A process of its own, told a task by a line of JSON on its standard input:
`{"way": "vllm" or "transformers", "questions": [...], "max_tokens": N, "answers": FILE}`.
Nothing here is the project's own: pictures, words and tokens go the way that the libraries' own
pages show.
"""

from __future__ import annotations

import json
import os
import subprocess
import sys
import time
from collections.abc import Sequence
from dataclasses import asdict, dataclass
from pathlib import Path
from typing import Any

from PIL import Image

_TIMEOUT_S = 600.0


@dataclass(frozen=True)
class PlainQuestion:
    """A picture's file and the words around it."""

    image: str
    system: str
    before: str
    after: str


@dataclass(frozen=True)
class PlainAnswer:
    """What the model wrote, and how many tokens of the prompt were words and picture."""

    token_ids: list[int]
    text: str
    prompt_tokens: int
    image_tokens: int
    finish_reason: str


class PlainModel:
    """The process, started and not waited for."""

    def __init__(self, model: Path, engine_args: dict[str, Any], folder: Path) -> None:
        self._folder = folder
        self._log = folder / "log"
        self._tasks = 0
        with self._log.open("wb") as log:
            self._process = subprocess.Popen(
                [sys.executable, __file__, str(model), json.dumps(engine_args)],
                # All in one process: it starts in half the time.
                env=os.environ | {"VLLM_ENABLE_V1_MULTIPROCESSING": "0"},
                stdin=subprocess.PIPE,
                stdout=log,
                stderr=log,
                text=True,
            )

    def ask(
        self, questions: Sequence[PlainQuestion], max_tokens: int, way: str = "vllm"
    ) -> list[PlainAnswer]:
        """Asks one by one; waits for all answers."""
        self._tasks += 1
        answers = self._folder / f"answers-{self._tasks}.json"
        task = {
            "way": way,
            "questions": [asdict(question) for question in questions],
            "max_tokens": max_tokens,
            "answers": str(answers),
        }
        assert self._process.stdin is not None
        self._process.stdin.write(json.dumps(task) + "\n")
        self._process.stdin.flush()
        deadline = time.monotonic() + _TIMEOUT_S
        while not answers.exists():
            gone = self._process.poll() is not None or time.monotonic() > deadline
            assert not gone, self._log.read_text()[-3000:]
            time.sleep(0.1)
        return [PlainAnswer(**answer) for answer in json.loads(answers.read_text())]

    def end(self) -> None:
        self._process.kill()
        self._process.communicate()


class _Asked:
    """The models, in the process."""

    def __init__(self, model: str, engine_args: dict[str, Any]) -> None:
        import torch
        from transformers import AutoProcessor, Qwen2_5_VLForConditionalGeneration
        from vllm import LLM

        self._processor = AutoProcessor.from_pretrained(model)
        self._model = Qwen2_5_VLForConditionalGeneration.from_pretrained(
            model, dtype=getattr(torch, engine_args["dtype"])
        )
        self._llm = LLM(model=model, **engine_args)

    def vllm(self, question: PlainQuestion, max_tokens: int) -> PlainAnswer:
        from vllm import SamplingParams

        image = Image.open(question.image).convert("RGB")
        prompt = {"prompt": self._lay_out(question), "multi_modal_data": {"image": image}}
        sampling = SamplingParams(temperature=0, max_tokens=max_tokens)
        (output,) = self._llm.generate([prompt], sampling, use_tqdm=False)
        completion = output.outputs[0]
        return self._answer(
            output.prompt_token_ids,
            list(completion.token_ids),
            completion.text,
            completion.finish_reason,
        )

    def transformers(self, question: PlainQuestion, max_tokens: int) -> PlainAnswer:
        image = Image.open(question.image).convert("RGB")
        inputs = self._processor(
            text=[self._lay_out(question)], images=[image], return_tensors="pt"
        )
        output = self._model.generate(**inputs, max_new_tokens=max_tokens, do_sample=False)
        prompt_ids = inputs["input_ids"][0].tolist()
        token_ids = output[0, len(prompt_ids) :].tolist()
        return self._answer(prompt_ids, token_ids, self._processor.decode(token_ids), "")

    def _answer(
        self, prompt_ids: list[int], token_ids: list[int], text: str, reason: str
    ) -> PlainAnswer:
        images = prompt_ids.count(self._model.config.image_token_id)
        return PlainAnswer(token_ids, text, len(prompt_ids), images, reason)

    def _lay_out(self, question: PlainQuestion) -> str:
        content = [
            {"type": "text", "text": question.before},
            {"type": "image"},
            {"type": "text", "text": question.after},
        ]
        chat = [
            {"role": "system", "content": question.system},
            {"role": "user", "content": content},
        ]
        return str(self._processor.apply_chat_template(chat, add_generation_prompt=True))


def main() -> None:
    asked = _Asked(sys.argv[1], json.loads(sys.argv[2]))
    for line in sys.stdin:
        task = json.loads(line)
        ask = {"vllm": asked.vllm, "transformers": asked.transformers}[task["way"]]
        questions = [PlainQuestion(**question) for question in task["questions"]]
        answers = [asdict(ask(question, task["max_tokens"])) for question in questions]
        target = Path(task["answers"])
        target.with_suffix(".part").write_text(json.dumps(answers))
        target.with_suffix(".part").rename(target)


if __name__ == "__main__":
    main()
