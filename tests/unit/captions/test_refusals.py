"""Refusals told from captions."""

from __future__ import annotations

import pytest

from regioncap.captions.refusals import is_refusal


@pytest.mark.parametrize(
    "text",
    [
        "I'm sorry, but I can't assist with that.",
        "Sorry, I cannot describe this image.",
        "Unfortunately, I am unable to see the image.",
        "I cannot identify real people.",
        "I’m not able to help with that.",
        "I won't describe this.",
        "As an AI, I do not have eyes.",
        "**I'm sorry**, I can't do that.",
        "抱歉，我无法协助。",
        "我无法提供描述。",
        "申し訳ありませんが、お答えできません。",
        "Es tut mir leid, das kann ich nicht.",
        "Je suis désolé, mais je ne peux pas vous aider.",
        "Lo siento, no puedo ayudar.",
        "Извините, я не могу помочь.",
    ],
)
def test_refusals(text: str) -> None:
    assert is_refusal(text.replace("*", ""))


@pytest.mark.parametrize(
    "text",
    [
        "A sign reads: I'm sorry, but I can't help you.",
        "Sorry we're closed, says a sign.",
        "A man who cannot stand sits in a chair.",
        "I cannot tell a lie is printed on the cup.",
        "Unfortunately damaged, the car stands by the road.",
        "",
    ],
)
def test_captions(text: str) -> None:
    assert not is_refusal(text)
