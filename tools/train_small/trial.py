"""How well the model does on scenes that no lesson showed, running freely."""

from __future__ import annotations

from collections import Counter
from dataclasses import dataclass, field
from itertools import product
from typing import Any

import torch
from torch import Tensor

from regioncap.captions.answers import parse
from regioncap.views.prompts import NONE
from tools.train_small.lessons import SOURCES_WH, Batch, Teacher, make_canvas, mark
from tools.train_small.net import look, think
from tools.train_small.words import REGIONS

#: Seeds from here on are for trials alone.
_SEED = 10**12
_LONGEST = 32


@dataclass(slots=True)
class Marks:
    """Regions by outcome, for each number of regions in a picture."""

    right: Counter[int] = field(default_factory=Counter)
    mixed: Counter[int] = field(default_factory=Counter)
    all: Counter[int] = field(default_factory=Counter)
    #: Captions asked back, by whether they are true of a region; and those answered right.
    asked: Counter[bool] = field(default_factory=Counter)
    told: Counter[bool] = field(default_factory=Counter)

    def __str__(self) -> str:
        parts = [
            f"{count}: {self.right[count] / n:.3f} right {self.mixed[count] / n:.3f} mixed"
            for count, n in sorted(self.all.items())
        ]
        total = max(1, sum(self.all.values()))
        parts.append(f"all: {sum(self.right.values()) / total:.3f} right")
        parts.append(f"{sum(self.mixed.values()) / total:.3f} mixed")
        for is_true, name in ((True, "true"), (False, "untrue")):
            share = self.told[is_true] / max(1, self.asked[is_true])
            parts.append(f"asked back, {name}: {share:.3f} right")
        return " | ".join(parts)


def try_out(model: Any, teacher: Teacher, scenes: int) -> Marks:
    """Asks for all regions of so many scenes of each count, and captions back."""
    marks = Marks()
    for count, which in product(range(1, REGIONS + 1), range(len(SOURCES_WH))):
        seeds = range(which, scenes, len(SOURCES_WH))
        exam = _exam(teacher, which, count, tuple(seeds))
        with torch.no_grad():
            texts = answers(model, teacher.tokenizer, exam.captions)
            choices = answers(model, teacher.tokenizer, exam.checks)
        for text, truth in zip(texts, exam.truths, strict=True):
            _mark(marks, text, truth)
        for said, right in zip(choices, exam.right, strict=True):
            marks.asked[right != NONE] += 1
            marks.told[right != NONE] += said == right
    return marks


@dataclass(frozen=True, slots=True)
class _Exam:
    captions: Batch
    truths: list[list[str]]
    #: Captions asked back, one that is true of a region and one that is not for each scene.
    checks: Batch
    right: list[str]


def _exam(teacher: Teacher, which: int, count: int, seeds: tuple[int, ...]) -> _Exam:
    key = (which, count, seeds)
    if key not in _EXAMS:
        lessons, truths, checks, right = [], [], [], []
        for seed in seeds:
            canvas = make_canvas(SOURCES_WH[which], _SEED + 1000 * count + seed, count)
            numbered = list(enumerate(range(len(canvas.contents)), 1))
            shown = mark(canvas, numbered)
            lessons.append(teacher.lesson(shown, "regions-2", numbered))
            truths.append(canvas.contents)
            of_one = [each for each in canvas.contents if canvas.contents.count(each) == 1]
            true = [of_one[seed % len(of_one)]] if of_one else []
            for content in (*true, teacher.untrue(canvas.contents)):
                checks.append(teacher.check_lesson(shown, "regions-2", [content]))
                place = canvas.contents.index(content) if content in canvas.contents else None
                right.append(NONE if place is None else str(place + 1))
        stacked = teacher.stacked(lessons), truths, teacher.stacked(checks), right
        _EXAMS[key] = _Exam(*stacked)
    return _EXAMS[key]


_EXAMS: dict[tuple[int, int, tuple[int, ...]], _Exam] = {}


def _mark(marks: Marks, text: str, truth: list[str]) -> None:
    count = len(truth)
    found = parse(text, range(1, count + 1))
    for number, own in enumerate(truth, 1):
        said = (found[number].caption or "").lower()
        others = [other for other in truth if other != own]
        marks.all[count] += 1
        marks.right[count] += own in said
        marks.mixed[count] += own not in said and any(other in said for other in others)


def answers(model: Any, tokenizer: Any, batch: Batch) -> list[str]:
    """Greedy answers to a batch's questions; all prompts must be equally long."""
    seen = look(model, torch.as_tensor(batch.pictures, device=model.device)).tokens
    start = int((batch.weights > 0).argmax(1)[0])
    ids = torch.as_tensor(batch.ids[:, :start], device=model.device)
    for _ in range(_LONGEST):
        ids = torch.cat([ids, _next(model, seen, ids, batch)[:, None]], 1)
        if bool((ids[:, start:] == tokenizer.eos_token_id).any(1).all()):
            break
    return [_until_end(tokenizer, row[start:].tolist()) for row in ids]


def _next(model: Any, seen: Tensor, ids: Tensor, batch: Batch) -> Tensor:
    states = think(model, seen, ids, batch.image_start, batch.grid).states
    token: Tensor = model.lm_head(states[:, -1]).argmax(-1)
    return token


def _until_end(tokenizer: Any, ids: list[int]) -> str:
    end = ids.index(tokenizer.eos_token_id) if tokenizer.eos_token_id in ids else len(ids)
    return str(tokenizer.decode(ids[:end]))
