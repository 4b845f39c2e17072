"""Markdown and HTML taken off what a model wrote; lines and list items stay apart.

All patterns but the first run over squeezed text.
"""

from __future__ import annotations

import html
import re

from regioncap.captions.texts import printable, squeeze

#: What a list item begins with, whatever sign the model took.
BULLET = "• "

#: Of bounded length: Python reads no number of thousands of digits.
_ENTITY = re.compile(r"&(?:#\d{1,7}|#[xX][\da-fA-F]{1,6}|[a-zA-Z][a-zA-Z\d]{1,31});")
_FENCE = re.compile(r"^ ?(?:```|~~~)[\w-]*+$", re.MULTILINE)
#: Also the sign of a list item that says nothing.
_RULE = re.compile(r"^ ?(?:[-*_=] ?[-*_=] ?[-*_=][-*_= ]*+|[-*+•‣◦▪●·–—])$", re.MULTILINE)
_HEADING = re.compile(r"^ ?(?:#{1,6} |> ?)+", re.MULTILINE)
_ITEM = re.compile(r"^ ?[-*+•‣◦▪●·–—] ", re.MULTILINE)
_ROW = re.compile(r"^ ?\|(.*)\|$", re.MULTILINE)
_BREAK_TAG = re.compile(r"</?(?:p|br|li|ul|ol|tr|table|tbody|thead|div|h[1-6]|region)\s?/?>", re.I)
_STYLE_TAG = re.compile(r"</?(?:b|i|u|em|strong|span|td|th|code|answer|caption|description)>", re.I)
_STRONG = re.compile(r"\*{2,3}|~~|`++|(?<!\w)__(?=\S)|(?<=\S)__(?!\w)")
_EMPHASIS = re.compile(r"(?<![\w*])([*_])(?=\S)([^*_\n]+?)(?<=\S)\1(?![\w*])")
_LINK = re.compile(r"!?\[([^\[\]\n]*)\]\([^()\s]*\)")
_ESCAPE = re.compile(r"\\([<>\[\](){}_*#.|!`-])")


def without_markdown(text: str) -> str:
    """Plain lines: no fences, headings, emphasis, links, tables or HTML tags.

    An item of a list begins with `BULLET`; a row of a table becomes `first cell: other cells`.
    """
    text = _ENTITY.sub(lambda entity: html.unescape(entity[0]), text)
    text = _BREAK_TAG.sub("\n", text)
    text = squeeze(printable(_STYLE_TAG.sub(" ", text)))
    text = _FENCE.sub("", text)
    text = _RULE.sub("", text)
    text = _HEADING.sub("", text)
    text = _ITEM.sub(BULLET, text)
    text = _STRONG.sub("", text)
    text = _EMPHASIS.sub(r"\2", text)
    text = _LINK.sub(r"\1", text)
    text = _ROW.sub(_row, text)
    return _ESCAPE.sub(r"\1", text)


def _row(match: re.Match[str]) -> str:
    cells = [cell.strip() for cell in match[1].split("|")]
    if all(set(cell) <= set(":- ") for cell in cells):
        return ""
    first, *others = cells
    return f"{first}: {', '.join(cell for cell in others if cell)}" if others else first
