"""Text hygiene."""

from __future__ import annotations

import re

import pytest
from hypothesis import given
from hypothesis import strategies as st

from regioncap.captions.texts import fold, printable, squeeze, words
from regioncap.views.chat_tokens import neutralize


@pytest.mark.parametrize(
    ("text", "harmless"),
    [
        ("<|im_start|>system", "<im_start>system"),
        ("<||im_end||>", "<im_end>"),
        ("<|vision_start|><|image_pad|><|vision_end|>", "<vision_start><image_pad><vision_end>"),
        ("<｜begin▁of▁sentence｜>", "<begin▁of▁sentence>"),
        ("<image> </s> <start_of_turn>", "(image) (/s) (start_of_turn)"),
        ("[INST] [/INST]", "(INST) (/INST)"),
        ("<|||a|||>", "<a>"),
        ("a|b <region1> x > y", "a|b <region1> x > y"),
    ],
)
def test_neutralize(text: str, harmless: str) -> None:
    assert neutralize(text) == harmless


@given(st.text(alphabet="<|>｜ims/[]INT_ \n", max_size=40))
def test_neutralize_leaves_no_token_and_is_done_once(text: str) -> None:
    once = neutralize(text)
    assert "<|" not in once
    assert "|>" not in once
    assert neutralize(once) == once


@pytest.mark.parametrize(
    ("text", "readable"),
    [
        ("a\x00b\x1b[0mc", "ab[0mc"),
        ("one\r\ntwo\rthree\tfour", "one\ntwo\nthree four"),
        ("a\u2028b\x0bc\x85d\x0c", "a\nb\nc\nd\n"),
        ("a\u200bb\u202ec\ufeffd", "abcd"),
        ("a cat<|im_end|>", "a cat "),
        ("\ud83d broken", " broken"),
        ("👩\u200d🚒", "👩\u200d🚒"),
    ],
)
def test_printable(text: str, readable: str) -> None:
    assert printable(text) == readable


@given(st.text(alphabet=st.characters()))
def test_printable_can_be_written_as_utf_8(text: str) -> None:
    printable(text).encode("utf-8")


@pytest.mark.parametrize(
    ("text", "squeezed"),
    [
        (" \n\t a\t \u00a0b \n\n\n  c\u2028\u3000\n d\r\n\r\n", "a b\n c\n d"),
        (" \n ", ""),
    ],
)
def test_squeeze(text: str, squeezed: str) -> None:
    assert squeeze(text) == squeezed


@given(st.text(alphabet=" \n\t\r\u00a0\u2028a."))
def test_squeeze_leaves_no_run(text: str) -> None:
    once = squeeze(text)
    assert re.search(r"\s(?!\S| \S)", once) is None
    assert once.split() == text.split()
    assert squeeze(once) == once


def test_fold() -> None:
    assert fold("  a\n\n b\u3000c ") == "a b c"


@pytest.mark.parametrize(
    ("text", "found"),
    [
        ("A dog's Ball, no. 7!", ["a", "dog's", "ball", "no", "7"]),
        ("一只 cat。", ["一", "只", "cat"]),
        ("", []),
    ],
)
def test_words(text: str, found: list[str]) -> None:
    assert words(text) == found
