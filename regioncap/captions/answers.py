"""Answers: from what an engine wrote to one caption for each region asked for.

Rules where an answer leaves room:

- A caption keeps the model's own words. What introduces it goes: the region's name, words like
  "In" or "The content of" before it, and the separator or the verb that links it to the thing
  ("<region1> shows a cat." gives "A cat."). Its first letter becomes a capital.
- A sentence about several regions ("<region1> and <region2> show ...") is the caption of each.
- A region described twice in a row has both texts; one come back to later keeps the first.
- Text is never given to a region by its position alone: an answer that names no region is no
  caption unless one region was asked for. A wrong caption costs more than asking again.
- Remarks before the first region, and from a line like "Overall, ..." after the last, go.
- Where the text was cut off, the last region in it has no caption; those before it have.
"""

from __future__ import annotations

import re
from collections.abc import Sequence
from dataclasses import dataclass, field
from typing import Literal

from regioncap.captions.json_answers import json_captions
from regioncap.captions.markdown import BULLET, without_markdown
from regioncap.captions.refusals import is_refusal
from regioncap.captions.region_names import segments
from regioncap.captions.texts import fold, printable

Status = Literal["ok", "refused", "missing", "invalid"]

CUT_OFF = "cut off"
EMPTY = "empty"
NO_WORDS = "no words"
NOT_IN_ANSWER = "not in the answer"
REFUSED = "the engine declined"


@dataclass(frozen=True, slots=True)
class RegionAnswer:
    """What an answer says of one region; it has a caption just if its status is ok."""

    status: Status
    caption: str | None = None
    #: Why there is no caption.
    why: str | None = None


@dataclass(slots=True)
class _Found:
    """Texts by region, and the regions whose text breaks off."""

    texts: dict[int, str] = field(default_factory=dict)
    cut: set[int] = field(default_factory=set)


_THOUGHT = re.compile(r"<think>.*?(?:</think>|\Z)|\A(?:(?!<think>).)*?</think>", re.DOTALL)
_JSON_START = re.compile(r"\s*(?:```\w*\s*)?(?:\{|\[\s*[\[{\"])")
_CHATTER = re.compile(
    r"\A\W*(?:sure|certainly|of course|okay|ok|here(?:'s| is| are)|the following|below"
    r"|好的|当然|以下|natürlich|hier ist|bien sûr|voici|claro|aquí)\b"
    r"[^\n]{0,200}[:：]\s*\n\s*(?=\S)",
    re.IGNORECASE,
)
_CLOSING = re.compile(
    r"\n\s*(?:overall\b|in (?:summary|conclusion|total)\b|to summari[sz]e|together,|both regions"
    r"|all (?:of )?(?:the|these) (?:marked )?regions|(?:these|the above) (?:descriptions|regions)"
    r"|(?:please )?note\b[: ]|please\b|let me know|i hope|hope this|feel free"
    r"|if you (?:need|have|want)|the (?:overall|entire|whole) (?:image|picture|scene)"
    r"|总的来说|总体|总之|综上|整体|请注意|如果您|insgesamt"
    r"|zusammenfassend|dans l'ensemble|en résumé|en resumen|en general|в целом|全体的に)"
    r"[\s\S]*\Z",
    re.IGNORECASE,
)
_TITLE = re.compile(r"\A([^\n.!?。:;,]{1,40})\n+(?=[A-Z\u00c0-\u00de])")
_LABEL = re.compile(r"\A(?:caption|description|answer|描述|内容|beschreibung)\s*[:：]\s*", re.I)
_LOOSE_START = re.compile(r"\A[\s:：,，、;；.\-–—=|*•>)\]]+(?<!\.\.\.)")
_LOOSE_END = re.compile(r"(?:\n\s*(?:•|\(?\d{1,3}[.):])\s*|[\s,，、;；:：\-–—=|*•<(\[]+)\Z")
_LIST_NUMBER = re.compile(r"\A\(?\d{1,3}[.):、]\s+")
_QUOTED = re.compile(r"\A([\"“«「『])(.*)([\"”»」』][.。]?)\Z", re.DOTALL)
_PLACEHOLDER = re.compile(
    r"n/?a|none|null|nil|unknown|empty|tbd|<?caption>?|无|暂无", re.IGNORECASE
)


def parse(
    text: str, numbers: Sequence[int], *, finish_reason: str = "stop", json: bool = False
) -> dict[int, RegionAnswer]:
    """Takes an answer apart.

    Args:
        text: What the engine wrote.
        numbers: The regions asked for.
        finish_reason: Why the text ended; anything but `stop` means that it was cut off.
        json: JSON was asked for, so it is looked for first wherever it stands.

    Returns:
        An entry for each region asked for, in the order asked, and for no other.
    """
    wanted = list(dict.fromkeys(numbers))
    cut = finish_reason != "stop"
    body = _THOUGHT.sub("", printable(text)).strip()
    readers = [_from_text, _from_json]
    if json or _JSON_START.match(body):
        readers.reverse()
    found = _Found()
    for read in readers:
        found = read(body, wanted, cut)
        if found.texts or found.cut:
            break
    refused = is_refusal(body)
    return {number: _verdict(number, found, refused) for number in wanted}


def _verdict(number: int, found: _Found, refused: bool) -> RegionAnswer:
    text = found.texts.get(number)
    if text is None:
        return _without_text(number, found, refused)
    caption = _caption(text, number)
    if is_refusal(text):
        return RegionAnswer("refused", why=REFUSED)
    if not caption:
        return RegionAnswer("invalid", why=EMPTY)
    if not re.search(r"[^\W_]", caption) or _PLACEHOLDER.fullmatch(caption.rstrip(".")):
        return RegionAnswer("invalid", why=NO_WORDS)
    return RegionAnswer("ok", caption)


def _without_text(number: int, found: _Found, refused: bool) -> RegionAnswer:
    if number in found.cut:
        return RegionAnswer("invalid", why=CUT_OFF)
    if refused:
        return RegionAnswer("refused", why=REFUSED)
    return RegionAnswer("missing", why=NOT_IN_ANSWER)


def _from_json(body: str, wanted: list[int], cut: bool) -> _Found:
    del cut  # a pair of JSON shows by itself whether it is whole
    json = json_captions(body)
    if len(wanted) == 1 and not json.texts and not json.cut and len(json.unnamed) == 1:
        return _Found({wanted[0]: _own(json.unnamed[0], wanted[0])})
    texts = {n: _own(json.texts[n], n) for n in wanted if n in json.texts}
    return _Found(texts, json.cut.intersection(wanted))


def _own(text: str, number: int) -> str:
    """A value's text without the name of its region, if it begins with that."""
    text = without_markdown(printable(text))
    parts = segments(text, [number])
    if parts and parts[0].numbers == (number,) and text.strip().endswith(parts[0].text.strip()):
        return parts[0].text
    return text


def _from_text(body: str, wanted: list[int], cut: bool) -> _Found:
    text = without_markdown(body).strip()
    parts = segments(text, wanted)
    numbers = {number for part in parts for number in part.numbers}
    named = any(not part.listed for part in parts)
    if len(wanted) == 1 and not named and wanted[0] not in numbers:
        return _lone(text, wanted[0], cut)
    found = _Found()
    previous: tuple[int, ...] = ()
    for i, part in enumerate(parts):
        last = i == len(parts) - 1
        if last and cut:
            found.cut.update(part.numbers)
            break
        own = _CLOSING.sub("", part.text) if last else part.text
        for number in part.numbers:
            _add(found.texts, number, own, follows=number in previous)
        previous = part.numbers or previous
    found.cut -= {number for number, own in found.texts.items() if own.strip()}
    found.texts = {n: found.texts[n] for n in wanted if n in found.texts and n not in found.cut}
    return found


def _add(texts: dict[int, str], number: int, own: str, *, follows: bool) -> None:
    """Keeps a region's first words, and those that follow them at once and say more."""
    known = texts.get(number, "").strip()
    if not known:
        texts[number] = own
    elif follows and fold(own) not in fold(known):
        texts[number] = f"{known}\n{_caption(own, number)}"


def _lone(text: str, number: int, cut: bool) -> _Found:
    """One region was asked for and the answer names none: all of it is the caption."""
    if not text or is_refusal(text) or _JSON_START.match(text):
        return _Found()
    if cut:
        return _Found(cut={number})
    own = _CLOSING.sub("", _CHATTER.sub("", text))
    return _Found({number: _LIST_NUMBER.sub("", own.removeprefix(BULLET))})


def _caption(text: str, number: int) -> str:
    """One clean line of a region's text."""
    text = _LABEL.sub("", _LOOSE_START.sub("", text.strip()))
    text = re.sub(rf"\s*[<\[(]/?\s*region\s*{number}\s*[>\])]\s*\Z", "", text, flags=re.I)
    text = _LOOSE_END.sub("", text)
    text = _TITLE.sub(r"\1. ", text)
    text = re.sub(rf"([.!?;:,。；：，]?)\s*\n\s*{BULLET}", _joint, text)
    if quoted := _QUOTED.match(text):
        text = quoted[2]
    return _capitalized(fold(text))


def _joint(match: re.Match[str]) -> str:
    return f"{match[1] or ';'} "


def _capitalized(text: str) -> str:
    """The first letter in upper case, but not that of "iPhone"."""
    if len(text) > 1 and text[1].isupper():
        return text
    upper = text[:1].upper()
    return upper + text[1:] if len(upper) == 1 else text
