"""Numbers of things as people read them."""

from __future__ import annotations

import pytest

from regioncap.plurals import agree, counted, of


@pytest.mark.parametrize(
    ("number", "noun", "text"),
    [
        (0, "record", "0 records"),
        (1, "box", "1 box"),
        (2000, "box", "2,000 boxes"),
        (2, "batch", "2 batches"),
        (2, "entry", "2 entries"),
        (2, "way", "2 ways"),
        (3, "error record", "3 error records"),
    ],
)
def test_counted(number: int, noun: str, text: str) -> None:
    assert counted(number, noun) == text


def test_words_that_agree() -> None:
    assert [of(n, "record") for n in (1, 2)] == ["record", "records"]
    assert [agree(n, "is", "are") for n in (0, 1, 2)] == ["are", "is", "are"]
