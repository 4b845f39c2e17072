"""Text hygiene that prompts, answers and the audit share: pure functions, no I/O."""

from __future__ import annotations

import re
import unicodedata

#: Control tokens of chat templates: `<|im_start|>` and the like, whatever stands inside.
_CHAT_TOKEN = re.compile(r"<[|｜][^<>\n]{0,64}[|｜]>")
#: Invisible characters that carry meaning in running text: joiners of Indic, Persian, emoji.
_KEPT_FORMAT = {"\u200c", "\u200d"}
#: Scripts written without spaces: a character counts as a word.
_WORD = re.compile(
    r"[\u3040-\u30ff\u3400-\u4dbf\u4e00-\u9fff\uf900-\ufaff]|[^\W_]+(?:['’][^\W_]+)*"
)


def printable(text: str) -> str:
    """Drops what cannot be read: chat tokens, control and format characters, lone surrogates.

    Line breaks stay, in the one form of a line feed; tabs become spaces.
    """
    text = _CHAT_TOKEN.sub(" ", text)
    text = text.replace("\r\n", "\n").replace("\r", "\n").replace("\t", " ")
    if text.replace("\n", "").isprintable():
        return text  # as nearly all are; what follows takes a hundred times as long
    return "".join(c for c in text if c == "\n" or _is_readable(c))


def _is_readable(character: str) -> bool:
    return character in _KEPT_FORMAT or unicodedata.category(character) not in {"Cc", "Cf", "Cs"}


def fold(text: str) -> str:
    """One line: every run of white space becomes one space, none at the ends."""
    return " ".join(text.split())


def words(text: str) -> list[str]:
    """The words of a text in lower case; a Chinese or Japanese character is a word of its own."""
    return [match.group().casefold() for match in _WORD.finditer(text)]
