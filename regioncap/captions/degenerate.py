"""Degenerate answers: what an engine writes that is broken, whatever it is shown; pure.

One whose numbers have become nonsense writes "!!!!!!!!", or the same words about everything. No
record is to blame for that.
"""

from __future__ import annotations

import re
from collections.abc import Sequence

from regioncap.captions.conversation import Captioned

#: The same words about so many different pictures may be those of no picture.
_SEVERAL = 4
_WORD = re.compile(r"[^\W_]")


def silence(done: Sequence[Captioned]) -> str:
    """Says so where a record got no word, be it that its requests failed; else empty.

    One is enough for a doubt: an engine may break in the middle of a shard.
    """
    asked = sum(captioned.requests > 0 for captioned in done)
    silent = sum(map(is_silent, done))
    return f"{silent} of {asked} records got no word" if silent else ""


def is_silent(captioned: Captioned) -> bool:
    """Whether the engine was asked about a record and wrote no word."""
    return captioned.requests > 0 and not has_words(captioned)


def same_words(done: Sequence[Captioned]) -> str:
    """What the engine wrote about each of several different pictures, if it is the same; or empty.

    A model may well have one thing to say of all of them.
    """
    asked = [captioned for captioned in done if captioned.requests]
    pictures = {captioned.record.source_sha256 for captioned in asked}
    texts = set(map(first_words, asked))
    return texts.pop() if len(pictures) >= _SEVERAL and len(texts) == 1 else ""


def has_words(captioned: Captioned) -> bool:
    """Whether an answer about a record has a word, whether or not it is of use."""
    return any(_WORD.search(answer.text) for answer in captioned.answers)


def first_words(captioned: Captioned) -> str:
    """What the engine wrote first about a record."""
    return captioned.answers[0].text if captioned.answers else ""
