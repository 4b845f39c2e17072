"""What a region holds, as words, and what a caption makes of it; pure.

A caption is judged by its content words alone, without a model that judges: what is found is
certain, and the same captions get the same scores for ever.
"""

from __future__ import annotations

import re
from collections.abc import Sequence
from dataclasses import dataclass
from typing import Literal, get_args

from regioncap.captions.texts import words

#: right: says what the region holds. mixed-up: says what another region of the picture holds.
#: wrong: says neither. The rest is without a caption.
Outcome = Literal["right", "mixed-up", "wrong", "missing", "invalid", "refused"]
OUTCOMES: tuple[Outcome, ...] = get_args(Outcome)

#: The share of another region's words from which a caption that is not right is mixed up with it.
_OTHERS_SHARE = 1 / 3
#: The share of a reference caption's content words that a right caption has.
_REFERENCE_SHARE = 1 / 3

_STOP = """
    a an and are as at be been being below above beside between by for from front has have he
    her his in into is it its left next of off on onto or out over right she some that the
    their them there these they this those to two under up upon was were what which while who
    with image picture photo region visible show seen appear part close background foreground
    very large small
"""
_STOP_WORDS = frozenset(_STOP.split())

#: "About 2 % of the picture" counts nothing.
_SHARE_OF_PICTURE = re.compile(r"(?<![\d.,])[\d.,]++ ?(?:%|per ?cent)")

Words = frozenset[str]


@dataclass(frozen=True, slots=True)
class Truth:
    """What a region holds."""

    #: Content words; each is a set of words that mean the same.
    content: tuple[Words, ...]
    #: The share of them that a right caption has, 0 to 1.
    needed: float = 1.0
    #: Whether they are attributes in the order that all regions of the scene have: count, colour.
    attributes: bool = True
    #: For people.
    text: str = ""

    @classmethod
    def of(cls, *content: str) -> Truth:
        """Attributes, each with the words that mean the same: `"purple violet", "disc circle"`."""
        return cls(
            tuple(frozenset(_stem(word) for word in words(same)) for same in content),
            text=" ".join(same.split()[0] for same in content),
        )

    @classmethod
    def of_reference(cls, caption: str) -> Truth | None:
        """The content words of a caption that a person wrote; None if it has none."""
        found = dict.fromkeys(_stem(word) for word in words(caption) if word not in _STOP_WORDS)
        content = tuple(frozenset([word]) for word in found)
        # One word of three, as "dark", may be true of anything.
        least = 2 / len(content) if len(content) > 2 else 0.0
        return cls(content, max(_REFERENCE_SHARE, least), False, caption) if content else None


def judge(caption: str, own: Truth, others: Sequence[Truth]) -> Outcome:
    """Says what a caption has got right.

    Args:
        caption: The caption of a region.
        own: What the region holds.
        others: What the other regions of the picture hold.
    """
    said = frozenset(_stem(word) for word in words(_SHARE_OF_PICTURE.sub("", caption)))
    if _share(said, own.content) >= own.needed:
        return "right"
    if any(_is_mixed_up(said, own, other) for other in others):
        return "mixed-up"
    return "wrong"


def _is_mixed_up(said: Words, own: Truth, other: Truth) -> bool:
    """Whether what was said of a region is rather said of another."""
    if own.attributes and other.attributes:
        # The other's colour in place of the own one; beside it, it may be that of the ground.
        return any(
            bool(said & theirs) and not said & mine
            for mine, theirs in zip(own.content, other.content, strict=False)
        )
    only_other = [same for same in other.content if same not in own.content]
    return _share(said, only_other) >= _OTHERS_SHARE


def _share(said: Words, content: Sequence[Words]) -> float:
    return sum(bool(said & same) for same in content) / len(content) if content else 0.0


def _stem(word: str) -> str:
    """Without the ending of an English plural or the 's of a possessive."""
    word = re.sub(r"['’]s?$", "", word)
    return re.sub(r"(?<=[sxz])es?$|(?<=[cs]h)es?$|(?<=..[^s])s$", "", word)
