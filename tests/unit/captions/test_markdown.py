"""Markdown and HTML taken off."""

from __future__ import annotations

import pytest

from regioncap.captions.markdown import without_markdown


@pytest.mark.parametrize(
    ("text", "plain"),
    [
        ("**bold** __bold__ *it* _it_ `code` ~~no~~", "bold bold it it code no"),
        ("snake_case_name and 5*3*2 and __init__", "snake_case_name and 5*3*2 and init"),
        ("## Title\n> quoted", "Title\nquoted"),
        ("- one\n* two\n+ three\n• four", "• one\n• two\n• three\n• four"),
        ("[text](http://x.y) ![alt](z.png)", "text alt"),
        ("[region1] stays", "[region1] stays"),
        ("| a | b | c |\n|---|:-:|---|\n| 1 | x | y |", "a: b, c\n\n1: x, y"),
        ("one<br>two<br/>three", "one\ntwo\nthree"),
        ("&lt;region1&gt; &amp; more", "<region1> & more"),
        ("- one\n  -\n  * two\n-", "• one\n\n• two\n"),
        ("&#9999999999; &lt &copy; &#0;", "&#9999999999; &lt © \ufffd"),
        (r"\<region1\> \*", "<region1> *"),
        ("```json\n{}\n```", "\n{}\n"),
        ("a\n---\nb", "a\n\nb"),
    ],
)
def test_without_markdown(text: str, plain: str) -> None:
    assert without_markdown(text) == plain
