"""Trains the small model: `python -m tools.train_small -o FOLDER`.

Needs torch, transformers and the product itself; no GPU. One process computes and one makes
lessons. It can be stopped at any time: `--resume` goes on from the last checkpoint.
"""

from __future__ import annotations

import argparse
import math
import multiprocessing
import sys
import time
from dataclasses import dataclass
from pathlib import Path
from queue import Queue
from typing import Any

import torch

from tests.support.tiny_qwen import save_processor
from tools.train_small.lessons import Batch, Teacher
from tools.train_small.net import hint, look, make_hints, make_model, say
from tools.train_small.tokens import make_tokenizer
from tools.train_small.trial import try_out

_WARM_UP = 100


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
        state = torch.load(path)
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
    pupil = _new_pupil(tokenizer, options.peak)
    kept = folder / "state.pt"
    if options.resume and kept.exists():
        pupil.load(kept)
    lessons: Queue[Batch] = multiprocessing.Queue(maxsize=12)  # type: ignore[assignment]
    seed = options.seed + pupil.step
    maker = multiprocessing.Process(
        target=_make_lessons, args=(seed, options.batch, lessons), daemon=True
    )
    maker.start()
    _train(pupil, lessons, Teacher(tokenizer, 0), options)
    maker.terminate()
    export(pupil.model, tokenizer, folder / "model")


def export(model: Any, tokenizer: Any, folder: Path) -> None:
    """Writes the checkpoint as any Qwen2.5-VL is laid out, in bfloat16."""
    import copy

    tokenizer.save_pretrained(folder)
    copy.deepcopy(model).to(torch.bfloat16).save_pretrained(folder)
    save_processor(folder)


def _options() -> argparse.Namespace:
    parser = argparse.ArgumentParser(description=__doc__)
    parser.add_argument("-o", "--out", type=Path, required=True)
    parser.add_argument("--steps", type=int, default=6000)
    parser.add_argument("--batch", type=int, default=32)
    parser.add_argument("--peak", type=float, default=1.2e-3, help="highest learning rate")
    parser.add_argument("--look-first", type=int, default=500, help="steps of the eyes alone")
    parser.add_argument("--trial-every", type=int, default=250)
    parser.add_argument("--trial-scenes", type=int, default=18, help="of each number of regions")
    parser.add_argument("--eager", action="store_true", help="without torch.compile")
    parser.add_argument("--threads", type=int, default=1)
    parser.add_argument("--seed", type=int, default=1)
    parser.add_argument("--resume", action="store_true")
    return parser.parse_args()


def _new_pupil(tokenizer: Any, peak: float) -> Pupil:
    model, hints = make_model(tokenizer), make_hints()
    weights = [*model.parameters(), *hints.parameters()]
    optimizer = torch.optim.AdamW(
        weights, lr=peak, betas=(0.9, 0.98), weight_decay=0.05, fused=True
    )
    return Pupil(model, hints, optimizer)


def _make_lessons(seed: int, size: int, lessons: Queue[Batch]) -> None:
    torch.set_num_threads(1)
    teacher = Teacher(make_tokenizer(), seed)
    while True:
        lessons.put(teacher.batch(size))


def _train(
    pupil: Pupil, lessons: Queue[Batch], teacher: Teacher, options: argparse.Namespace
) -> None:
    see = look if options.eager else torch.compile(look, dynamic=False)
    started, waited = time.monotonic(), 0.0
    seen_right = said_right = 0.0
    while pupil.step < options.steps:
        asked = time.monotonic()
        batch = lessons.get()
        waited += time.monotonic() - asked
        _set_rate(pupil, options)
        sight = see(pupil.model, torch.as_tensor(batch.pictures))
        loss, right = hint(pupil.hints, sight, batch)
        if bool(right.isfinite()):  # a crop has no number
            seen_right += 0.02 * (float(right) - seen_right)
        if pupil.step >= options.look_first:
            said = say(pupil.model, sight.tokens, batch)
            loss = said.loss + loss
            said_right += 0.02 * (float(said.right) - said_right)
        pupil.optimizer.zero_grad()
        loss.backward()
        torch.nn.utils.clip_grad_norm_(pupil.model.parameters(), 1.0)
        pupil.optimizer.step()
        pupil.step += 1
        if pupil.step % 50 == 0:
            spent = time.monotonic() - started
            cpu = time.process_time()
            _say(
                f"{pupil.step} {spent:.0f} s (waited {waited:.0f}, cpu {cpu:.0f}) loss "
                f"{float(loss):.3f} numbers seen {seen_right:.3f} content said {said_right:.3f}"
            )
        if pupil.step % options.trial_every == 0:
            pupil.save(options.out / "state.pt")
            if pupil.step > options.look_first:
                _say(
                    f"trial at {pupil.step}: {try_out(pupil.model, teacher, options.trial_scenes)}"
                )


def _set_rate(pupil: Pupil, options: argparse.Namespace) -> None:
    """Warm-up, then half a cosine down to a fiftieth."""
    warm = min(1.0, (pupil.step + 1) / _WARM_UP)
    part = pupil.step / options.steps
    rate = options.peak * warm * (0.02 + 0.98 * (1 + math.cos(math.pi * part)) / 2)
    for group in pupil.optimizer.param_groups:
        group["lr"] = rate


def _say(line: str) -> None:
    print(time.strftime("%H:%M:%S"), line)
    sys.stdout.flush()


if __name__ == "__main__":
    main()
