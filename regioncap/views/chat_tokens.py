"""Control tokens of chat templates, made harmless in what users write into prompts."""

from __future__ import annotations

import re
from collections.abc import Iterable

_PIPES_AFTER_BRACKET = re.compile(r"<[|｜]+")
#: Entered at the first pipe of a run only: from each of them, a run would take its length squared.
_PIPES_BEFORE_BRACKET = re.compile(r"(?<![|｜])[|｜]++>")
#: Control tokens that look like tags, of the model families that the engines serve: Gemma, Llama,
#: LLaVA, InternVL, Mistral, and the picture marker of llama.cpp.
_TAG_TOKEN = re.compile(
    r"<(/?(?:s|bos|eos|pad|img|image|video|audio|IMG_CONTEXT|__media__|__image__|image_soft_token"
    r"|(?:start|end)_of_(?:turn|image)))>"
)
_ROUND = str.maketrans("<>[]{}", "()()()")
_BRACKET_TOKEN = re.compile(r"\[(/?(?:INST|IMG|IMG_BREAK|IMG_END|SYSTEM_PROMPT))\]")


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


def without(text: str, tokens: Iterable[str]) -> str:
    """Makes further tokens harmless, which a model says that it has, as `neutralize` does."""
    for token in tokens:
        text = text.replace(token, neutralize(token).translate(_ROUND))
    return text
