"""Refusals: an engine's text that declines to answer."""

from __future__ import annotations

import re

_CANNOT = (
    r"(?:can(?:'|no| no)?t\b|am (?:not able|unable)|'m (?:not able|unable)|won't|will not"
    r"|do not|don't|must decline|have to decline|are (?:not able|unable))"
)
_HELP = (
    r"(?:assist|help|comply|fulfil|provide|describe|identify|do that|discuss|engage|continue"
    r"|process|view|see|analy[sz]e|caption|generate|create|support|answer|share|feel comfortable)"
)
#: Anchored at the start: a caption that quotes "I cannot" further on is a caption.
_REFUSAL = re.compile(
    r"\W*+(?:"
    r"(?:(?:i'm|i am|we're|we are) )?(?:so |very |really )?sorry\b[^.!?\n]{0,60}?"
    rf"\b(?:i|we) ?{_CANNOT}"
    rf"|(?:unfortunately|apologies|i apologi[sz]e)\b[^.!?\n]{{0,60}}?\b(?:i|we) ?{_CANNOT}"
    rf"|(?:i|we) ?{_CANNOT} (?:to )?{_HELP}"
    r"|as an ai\b[^\n]{0,80}?\b(?:i|we)\b"
    r"|(?:很|非常)?(?:抱歉|对不起|對不起|遗憾)[^。\n]{0,20}?(?:无法|無法|不能|没办法)"
    r"|我(?:无法|無法|不能)(?:提供|描述|协助|帮助|回答|识别|處理|处理|满足)"
    r"|申し訳(?:ありません|ございません)"
    r"|(?:죄송하지만|죄송합니다)"
    r"|(?:es )?tut mir (?:sehr )?leid[^.\n]{0,60}?\b(?:kann|darf)\b"
    r"|(?:je suis )?d[ée]sol[ée]e?\b[^.\n]{0,40}?\bje ne (?:peux|puis)"
    r"|lo siento\b[^.\n]{0,40}?\bno puedo"
    r"|(?:sinto muito|desculpe)\b[^.\n]{0,40}?\bnão posso"
    r"|mi dispiace\b[^.\n]{0,40}?\bnon posso"
    r"|(?:извините|простите|к сожалению)[^.\n]{0,40}?не (?:могу|можем)"
    r")",
    re.IGNORECASE,
)


def is_refusal(text: str) -> bool:
    """Whether the text begins by declining, in one of several languages."""
    return _REFUSAL.match(text.replace("’", "'")) is not None
