"""Trains the small model: `python -m tools.train_small -o FOLDER`.

Needs torch, transformers and the product itself; no GPU, though `--device cuda` takes one. One
process computes, others make lessons. It can be stopped at any time: `--resume` goes on from the
last checkpoint.
"""

from __future__ import annotations

import argparse
import math
import multiprocessing
import sys
import time
from collections.abc import Callable
from dataclasses import dataclass
from pathlib import Path
from queue import Queue
from typing import Any

import torch
from torch import Tensor

from tools.qwen import save_processor
from tools.train_small.lessons import Batch, Teacher
from tools.train_small.net import Sight, hint, look, make_hints, make_model, say
from tools.train_small.tokens import make_tokenizer
from tools.train_small.trial import try_out

_WARM_UP = 100
#: The language model's rate, of the vision tower's; at the full rate it may for long not look.
_LANGUAGE_RATE = 0.5
#: Steps in which only the hints' layers learn from them, where the rest knows something already.
_HEADS_FIRST = 150
#: Steps with scenes of few regions, of all.
_EASY_PART = 0.25


@dataclass(slots=True)
class Pupil:
    """All that a checkpoint holds."""

    model: Any
    hints: Any
    optimizer: torch.optim.Optimizer
    step: int = 0

    def save(self, path: Path) -> None:
        """Writes it so that a kill at any time leaves a whole file."""
        state = {
            "model": self.model.state_dict(),
            "hints": self.hints.state_dict(),
            "optimizer": self.optimizer.state_dict(),
            "step": self.step,
        }
        torch.save(state, path.with_suffix(".new"))
        path.with_suffix(".new").replace(path)

    def load(self, path: Path) -> None:
        """Goes on from what `save` wrote."""
        state = torch.load(path, map_location=self.model.device)
        self.model.load_state_dict(state["model"])
        self.hints.load_state_dict(state["hints"])
        self.optimizer.load_state_dict(state["optimizer"])
        self.step = state["step"]


def main() -> None:
    """Runs the training."""
    options = _options()
    folder: Path = options.out
    folder.mkdir(parents=True, exist_ok=True)
    torch.set_num_threads(options.threads)
    torch.manual_seed(options.seed)
    tokenizer = make_tokenizer()
    pupil = _new_pupil(tokenizer, options)
    if options.begin_with:
        take_over(pupil.model, tokenizer, options.begin_with)
    kept = folder / "state.pt"
    if options.resume and kept.exists():
        pupil.load(kept)
    lessons: Queue[Batch] = multiprocessing.Queue(maxsize=12)  # type: ignore[assignment]
    easy_until = options.easy_until or int(_EASY_PART * options.steps)
    easy = max(0, easy_until - pupil.step) // options.makers
    makers = [
        multiprocessing.Process(
            target=_make_lessons,
            args=(options.seed + pupil.step + 10**6 * nth, easy, options, lessons),
            daemon=True,
        )
        for nth in range(options.makers)
    ]
    for maker in makers:
        maker.start()
    _train(pupil, lessons, Teacher(tokenizer, 0), options)
    for maker in makers:
        maker.terminate()
    export(pupil.model, tokenizer, folder / "model")


def export(model: Any, tokenizer: Any, folder: Path) -> None:
    """Writes the checkpoint as any Qwen2.5-VL is laid out, in bfloat16."""
    import copy

    tokenizer.save_pretrained(folder)
    copy.deepcopy(model).to(torch.bfloat16).save_pretrained(folder)
    save_processor(folder)


def take_over(model: Any, tokenizer: Any, folder: Path) -> None:
    """Gives a model the weights of an earlier checkpoint, and of words those that it knew.

    Args:
        model: A new model of the same shape.
        tokenizer: Its tokenizer, which may have other words.
        folder: The earlier checkpoint.
    """
    from transformers import AutoTokenizer, Qwen2_5_VLForConditionalGeneration

    earlier = Qwen2_5_VLForConditionalGeneration.from_pretrained(folder, dtype=torch.float32)
    weights = earlier.state_dict()
    known = AutoTokenizer.from_pretrained(folder).get_vocab()
    pairs = [(id_, known[word]) for word, id_ in tokenizer.get_vocab().items() if word in known]
    new, old = (torch.tensor(ids) for ids in zip(*pairs, strict=True))
    for name, ours in model.state_dict().items():
        if name.endswith(("embed_tokens.weight", "lm_head.weight")):
            ours[new] = weights[name][old].to(ours.device)
        else:
            ours.copy_(weights[name])
    print(f"{len(pairs)} of {len(tokenizer)} words are known")


def _options() -> argparse.Namespace:
    parser = argparse.ArgumentParser(description=__doc__)
    parser.add_argument("-o", "--out", type=Path, required=True)
    parser.add_argument("--steps", type=int, default=8000)
    parser.add_argument("--batch", type=int, default=24)
    parser.add_argument("--peak", type=float, default=3e-3, help="highest rate, of the eyes")
    parser.add_argument("--look-first", type=int, default=600, help="steps of the eyes alone")
    parser.add_argument(
        "--asked-back", type=float, default=0.0, help="share of lessons that ask captions back"
    )
    parser.add_argument("--easy-until", type=int, help="steps with few regions [a quarter of all]")
    parser.add_argument("--trial-every", type=int, default=250)
    parser.add_argument("--trial-scenes", type=int, default=18, help="of each number of regions")
    parser.add_argument("--eager", action="store_true", help="without torch.compile")
    parser.add_argument("--threads", type=int, default=1)
    parser.add_argument("--makers", type=int, default=1, help="processes that make lessons")
    parser.add_argument("--device", default="cpu", help="as torch names it, such as cuda")
    parser.add_argument("--seed", type=int, default=1)
    parser.add_argument("--resume", action="store_true")
    parser.add_argument(
        "--begin-with", type=Path, metavar="FOLDER", help="a checkpoint that goes on learning"
    )
    return parser.parse_args()


def _new_pupil(tokenizer: Any, options: argparse.Namespace) -> Pupil:
    model, hints = (part.to(options.device) for part in (make_model(tokenizer), make_hints()))
    seeing = [*model.model.visual.parameters(), *hints.parameters()]
    speaking = [*model.model.language_model.parameters()]  # the words' weights are the head's too
    optimizer = torch.optim.AdamW(
        [{"params": seeing, "part": 1.0}, {"params": speaking, "part": _LANGUAGE_RATE}],
        lr=options.peak,
        betas=(0.9, 0.98),
        weight_decay=0.05,
        fused=True,
    )
    return Pupil(model, hints, optimizer)


def _make_lessons(seed: int, easy: int, options: argparse.Namespace, lessons: Queue[Batch]) -> None:
    torch.set_num_threads(1)
    teacher = Teacher(make_tokenizer(), seed, easy, options.asked_back)
    while True:
        lessons.put(teacher.batch(options.batch))


@dataclass(slots=True)
class _Diary:
    """How it goes: running means over some fifty batches."""

    started: float
    numbers_seen: float = 0.0
    content_said: float = 0.0

    def note(self, numbers: Tensor, content: Tensor | None) -> None:
        if bool(numbers.isfinite()):  # a crop has no number
            self.numbers_seen += 0.02 * (float(numbers) - self.numbers_seen)
        if content is not None:
            self.content_said += 0.02 * (float(content) - self.content_said)

    def line(self, step: int, loss: float) -> str:
        return (
            f"{step} {time.monotonic() - self.started:.0f} s (cpu {time.process_time():.0f}) "
            f"loss {loss:.3f} numbers seen {self.numbers_seen:.3f} "
            f"content said {self.content_said:.3f}"
        )


def _train(
    pupil: Pupil, lessons: Queue[Batch], teacher: Teacher, options: argparse.Namespace
) -> None:
    see = look if options.eager else torch.compile(look, dynamic=False)
    diary = _Diary(time.monotonic())
    while pupil.step < options.steps:
        _set_rate(pupil, options)
        begins = bool(options.begin_with) and pupil.step < _HEADS_FIRST
        loss = _learn(
            pupil,
            see,
            lessons.get(),
            diary,
            speaks=pupil.step >= options.look_first or bool(options.begin_with),
            heads_only=begins,
        )
        if pupil.step % 50 == 0:
            _say(diary.line(pupil.step, loss))
        if pupil.step % options.trial_every == 0:
            pupil.save(options.out / "state.pt")
            if pupil.step > options.look_first or options.begin_with:
                result = try_out(pupil.model, teacher, options.trial_scenes)
                _say(f"trial at {pupil.step}: {result}")


def _learn(
    pupil: Pupil,
    see: Callable[..., Sight],
    batch: Batch,
    diary: _Diary,
    *,
    speaks: bool,
    heads_only: bool = False,
) -> float:
    """One step; returns the loss.

    With `heads_only` the hints' own layers learn from them alone: at random, they would spoil what
    the vision tower knows.
    """
    sight = see(pupil.model, torch.as_tensor(batch.pictures, device=pupil.model.device))
    hinted = Sight(*(each.detach() for each in sight)) if heads_only else sight
    loss, numbers = hint(pupil.hints, hinted, batch)
    said = say(pupil.model, sight.tokens, batch) if speaks else None
    if said is not None:
        loss = loss + said.loss
    pupil.optimizer.zero_grad()
    loss.backward()
    torch.nn.utils.clip_grad_norm_(pupil.model.parameters(), 1.0)
    pupil.optimizer.step()
    pupil.step += 1
    diary.note(numbers, said.right if said else None)
    return float(loss.detach())


def _set_rate(pupil: Pupil, options: argparse.Namespace) -> None:
    """Warm-up, then half a cosine down to a fiftieth."""
    warm = min(1.0, (pupil.step + 1) / _WARM_UP)
    part = pupil.step / options.steps
    rate = options.peak * warm * (0.02 + 0.98 * (1 + math.cos(math.pi * part)) / 2)
    for group in pupil.optimizer.param_groups:
        group["lr"] = group["part"] * rate


def _say(line: str) -> None:
    print(time.strftime("%H:%M:%S"), line)
    sys.stdout.flush()


if __name__ == "__main__":
    main()
