"""What an engine writes that is broken, and what one writes that is well."""

from __future__ import annotations

from collections.abc import Sequence

import pytest

from regioncap.captions import degenerate
from regioncap.captions.conversation import Captioned
from regioncap.records import EngineAnswer, RenderedRecord


def said(texts: Sequence[str | None], pictures: int = 100) -> list[Captioned]:
    """Records of so many pictures; None is a record about which nothing was asked."""
    return [
        Captioned(
            RenderedRecord(index=n, line=n + 1, source_sha256=f"{n % pictures}"),
            [] if not text else [EngineAnswer(text=text, finish_reason="stop", regions=[1])],
            requests=0 if text is None else 1,
        )
        for n, text in enumerate(texts)
    ]


@pytest.mark.parametrize(
    ("texts", "silence"),
    [
        (["!!!!!!!!"], "1 of 1 records got no word"),
        (["A cat.", "!!!!", ""], "2 of 3 records got no word"),
        ([], ""),
        ([None, None], ""),
        (["A cat.", None], ""),
        (["猫", "!5!"], ""),
        (["I cannot tell."], ""),
    ],
)
def test_silence(texts: list[str | None], silence: str) -> None:
    assert degenerate.silence(said(texts)) == silence


@pytest.mark.parametrize(
    ("texts", "pictures", "words"),
    [
        (["the the"] * 4, 100, "the the"),
        (["the the"] * 3, 100, ""),  # too few to tell
        (["A cat."] * 9, 1, ""),  # one picture, asked about often
        (["A cat."] * 9 + ["A dog."], 100, ""),
        ([None] * 9, 100, ""),
    ],
)
def test_same_words(texts: list[str | None], pictures: int, words: str) -> None:
    assert degenerate.same_words(said(texts, pictures)) == words
