"""Degenerate answers: what an engine writes that is broken, whatever it is shown; pure.

One whose numbers have become nonsense writes "!!!!!!!!", or the same words about everything. No
record is to blame for that.
"""

from __future__ import annotations

import re
from collections.abc import Sequence

from regioncap.captions.conversation import Captioned

#: The same words about so many different pictures are those of no picture.
_SAME = 8
_WORD = re.compile(r"[^\W_]")


def why(done: Sequence[Captioned]) -> str:
    """Why the answers about a shard's records let one doubt that the engine is well; else empty.

    One record without a word is enough, also one whose requests all failed: an engine may break in
    the middle of a shard.
    """
    asked = [captioned for captioned in done if captioned.requests]
    if silent := len(asked) - sum(map(has_words, asked)):
        return f"{silent} of {len(asked)} records got no word"
    pictures = {captioned.record.source_sha256 for captioned in asked}
    if len(pictures) >= _SAME and len(set(map(first_words, asked))) == 1:
        return f"the answers about {len(pictures)} pictures have the same words"
    return ""


def has_words(captioned: Captioned) -> bool:
    """Whether an answer about a record has a word, whether or not it is of use."""
    return any(_WORD.search(answer.text) for answer in captioned.answers)


def first_words(captioned: Captioned) -> str:
    """What the engine wrote first about a record."""
    return captioned.answers[0].text if captioned.answers else ""
