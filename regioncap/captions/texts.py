"""Cleaning of texts for prompts, answers and the audit: pure functions, no I/O."""

from __future__ import annotations

import re
import unicodedata

#: Control tokens of chat templates: `<|im_start|>` and the like, whatever stands inside.
_CHAT_TOKEN = re.compile(r"<[|｜][^<>\n]{0,64}[|｜]>")
#: All that Python takes for the end of a line.
_LINE_END = re.compile(r"\r\n|[\r\v\f\x1c-\x1e\x85\u2028\u2029]")
#: Line feeds, and invisible characters that carry meaning in running text: joiners of Indic,
#: Persian, emoji.
_KEPT = {"\n", "\u200c", "\u200d"}
_UNREADABLE = {"Cc", "Cf", "Cs"}
#: Scripts written without spaces: a character counts as a word.
_WORD = re.compile(
    r"[\u3040-\u30ff\u3400-\u4dbf\u4e00-\u9fff\uf900-\ufaff]|[^\W_]+(?:['’][^\W_]+)*"
)


def printable(text: str) -> str:
    """Drops what cannot be read: chat tokens, control and format characters, lone surrogates.

    Line breaks stay, in the one form of a line feed; tabs become spaces.
    """
    text = _CHAT_TOKEN.sub(" ", text)
    text = _LINE_END.sub("\n", text).replace("\t", " ")
    unreadable = [c for c in set(text) - _KEPT if unicodedata.category(c) in _UNREADABLE]
    return text.translate(dict.fromkeys(map(ord, unreadable)))


def squeeze(text: str) -> str:
    """White space in its least form, so that no run of it can cost a pattern time.

    What is left of a run is a space, or a line feed, and a space after it if the next line is
    indented. Blank lines go, and so does what stands at the ends.
    """
    lines = (line for line in text.splitlines() if line and not line.isspace())
    return "\n".join(" " * line[0].isspace() + " ".join(line.split()) for line in lines).lstrip()


def fold(text: str) -> str:
    """One line: every run of white space becomes one space, none at the ends."""
    return " ".join(text.split())


def words(text: str) -> list[str]:
    """The words of a text in lower case; a Chinese or Japanese character is a word of its own."""
    return [match.group().casefold() for match in _WORD.finditer(text)]
