"""Text hygiene that prompts, answers and the audit share: pure functions, no I/O."""

from __future__ import annotations

import re
import unicodedata

#: Control tokens of chat templates: `<|im_start|>` and the like, whatever stands inside.
_CHAT_TOKEN = re.compile(r"<[|｜][^<>\n]{0,64}[|｜]>")
_PIPES_AFTER_BRACKET = re.compile(r"<[|｜]+")
_PIPES_BEFORE_BRACKET = re.compile(r"[|｜]+>")
#: Control tokens that look like tags, of the model families that the engines serve: Gemma, Llama,
#: LLaVA, InternVL, Mistral, and the picture marker of llama.cpp.
_TAG_TOKEN = re.compile(
    r"<(/?(?:s|bos|eos|pad|img|image|video|audio|IMG_CONTEXT|__media__|__image__|image_soft_token"
    r"|(?:start|end)_of_(?:turn|image)))>"
)
_BRACKET_TOKEN = re.compile(r"\[(/?(?:INST|IMG|IMG_BREAK|IMG_END|SYSTEM_PROMPT))\]")
#: Invisible characters that carry meaning in running text: joiners of Indic, Persian, emoji.
_KEPT_FORMAT = {"\u200c", "\u200d"}
#: Scripts written without spaces: a character counts as a word.
_WORD = re.compile(
    r"[\u3040-\u30ff\u3400-\u4dbf\u4e00-\u9fff\uf900-\ufaff]|[^\W_]+(?:['’][^\W_]+)*"
)


def neutralize(text: str) -> str:
    """Makes the control tokens of chat templates harmless, visibly.

    The pipes are dropped (`<|im_start|>` becomes `<im_start>`), and tags that some model family
    reads as control tokens get round brackets (`<image>` becomes `(image)`). Nothing invisible is
    put in, so that the prompt in the results is the prompt that the model saw. Doing it twice
    changes nothing.
    """
    text = _PIPES_AFTER_BRACKET.sub("<", text)
    text = _PIPES_BEFORE_BRACKET.sub(">", text)
    text = _TAG_TOKEN.sub(r"(\1)", text)
    return _BRACKET_TOKEN.sub(r"(\1)", text)


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
