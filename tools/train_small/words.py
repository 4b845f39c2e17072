"""What the small model says: the words for what its scenes hold, and its forms of answer."""

from __future__ import annotations

import json
from collections.abc import Sequence

from regioncap.evaluation.truth import Truth
from regioncap.views.prompts import key

#: Most regions in a picture of the lessons.
REGIONS = 5
COLOURS = (
    "red", "blue", "green", "yellow", "orange", "purple", "pink", "brown", "black", "white",
    "turquoise", "grey",
)  # fmt: skip
SHAPES = ("circle", "triangle", "star", "cross", "diamond", "ring", "arrow", "heart", "patch")


def content_of(truth: Truth) -> str:
    """Colour and shape of a region of a made scene: `red star`; of a bare colour, `red patch`."""
    parts = truth.text.split()
    return " ".join(parts if len(parts) > 1 else [*parts, "patch"])


def lone_caption(content: str) -> str:
    """The caption of one region, such as "A red star."."""
    article = "An" if content[0] in "aeiou" else "A"
    return f"{article} {content}."


def answer_text(captions: Sequence[tuple[int, str]]) -> str:
    """The answer as the default prompt asks for it.

    Args:
        captions: Numbers of regions, each with its content, in the order asked.
    """
    lines = [f"In <region{number}>, {_small(content)}" for number, content in captions]
    return "\n".join(lines)


def answer_json(captions: Sequence[tuple[int, str]]) -> str:
    """The answer as an object in JSON, without spaces, as the engine's grammar has it."""
    answers = {key(number): lone_caption(content) for number, content in captions}
    return json.dumps(answers, separators=(",", ":"))


def _small(content: str) -> str:
    caption = lone_caption(content)
    return caption[0].lower() + caption[1:]
