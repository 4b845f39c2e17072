"""Markdown and HTML taken off what a model wrote; lines and list items stay apart."""

from __future__ import annotations

import html
import re

#: What a list item begins with, whatever sign the model took.
BULLET = "• "

_FENCE = re.compile(r"^[ ]*(?:```|~~~)[\w-]*[ ]*$", re.MULTILINE)
_RULE = re.compile(r"^[ ]*(?:[-*_=][ ]*){3,}$", re.MULTILINE)
_HEADING = re.compile(r"^[ ]*(?:#{1,6}[ ]+|>[ ]?)+", re.MULTILINE)
_ITEM = re.compile(r"^[ ]*[-*+•‣◦▪●·–—][ ]+", re.MULTILINE)
_ROW = re.compile(r"^[ ]*\|(.*)\|[ ]*$", re.MULTILINE)
_BREAK_TAG = re.compile(r"</?(?:p|br|li|ul|ol|tr|table|tbody|thead|div|h[1-6]|region)\s*/?>", re.I)
_STYLE_TAG = re.compile(r"</?(?:b|i|u|em|strong|span|td|th|code|answer|caption|description)>", re.I)
_STRONG = re.compile(r"\*{2,3}|~~|`+|(?<!\w)__(?=\S)|(?<=\S)__(?!\w)")
_EMPHASIS = re.compile(r"(?<![\w*])([*_])(?=\S)([^*_\n]+?)(?<=\S)\1(?![\w*])")
_LINK = re.compile(r"!?\[([^\[\]\n]*)\]\([^()\s]*\)")
_ESCAPE = re.compile(r"\\([<>\[\](){}_*#.|!`-])")


def without_markdown(text: str) -> str:
    """Plain lines: no fences, headings, emphasis, links, tables or HTML tags.

    An item of a list begins with `BULLET`; a row of a table becomes `first cell: other cells`.
    """
    text = html.unescape(text)
    text = _BREAK_TAG.sub("\n", text)
    text = _STYLE_TAG.sub(" ", text)
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
