"""Answers: from what an engine wrote to one caption for each region asked for.

Rules where an answer leaves room:

- A caption keeps the model's own words. What introduces it goes: the region's name, words like
  "In" or "The content of" before it, and the separator or the verb that links it to the thing
  ("<region1> shows a cat." gives "A cat."). Its first letter becomes a capital.
- A sentence about several regions ("<region1> and <region2> show ...") is the caption of each.
- A region described twice in a row has both texts; one come back to later keeps the first, unless
  that was about several: then what it is told alone is added.
- Text is never given to a region by its position alone: an answer that names no region is no
  caption unless one region was asked for. A wrong caption costs more than asking again.
- So it is with numbers that count from 0, with bare numbers (of lists and keys) that count
  through regions which were not asked for, and with names of which one cannot tell whether they
  stand before or behind their words.
- Remarks before the first region, and from a line like "Overall, ..." after the last, go.
- Where the text was cut off, the last region in it has no caption; those before it have. A text
  of more than `MAX_CHARS` is cut off there.

A model that runs wild may write anything, as often as its longest answer allows: reading takes time
linear in the length of the text, whatever it is. To that end the text is squeezed first, and no
pattern has two pieces that may share a run of characters.
"""

from __future__ import annotations

import re
from collections.abc import Collection, Iterable, Sequence
from dataclasses import dataclass, replace
from typing import Any, Literal

from regioncap.captions.json_answers import Found, json_captions
from regioncap.captions.markdown import BULLET, without_markdown
from regioncap.captions.refusals import is_refusal
from regioncap.captions.region_names import Segment, segments
from regioncap.captions.texts import fold, printable, squeeze

Status = Literal["ok", "refused", "missing", "invalid"]

#: As much as the longest answer that can be asked for has, 32,768 tokens of English; white space
#: beyond a character between two words does not count.
MAX_CHARS = 131_072

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
    #: What else a schema of regions asked for.
    attributes: dict[str, Any] | None = None


_JSON_START = re.compile(r"(?:```\w*+\s?)?(?:\{|\[\s?[\[{\"])")
_CHATTER = re.compile(
    r"\W*+(?:sure|certainly|of course|okay|ok|here(?:'s| is| are)|the following|below"
    r"|好的|当然|以下|natürlich|hier ist|bien sûr|voici|claro|aquí)\b"
    r"[^\n]{0,200}[:：]\n",
    re.IGNORECASE,
)
_CLOSING = re.compile(
    r"\n ?(?:(?:overall|in (?:summary|conclusion|total)|to summari[sz]e|(?:please )?note|please"
    r"|let me know|i hope|hope this|feel free|if you (?:need|have|want)|all (?:of )?these regions"
    r"|(?:these|the above) (?:descriptions|regions)|the (?:overall|entire|whole) (?:image|scene)"
    r"|insgesamt|zusammenfassend|dans l'ensemble|en résumé|en resumen|en general|в целом)\b"
    r"|总的来说|总体|总之|综上|整体|请注意|全体的に)",
    re.IGNORECASE,
)
_TITLE = re.compile(r"\A([^\n.!?。:;,]{1,40})\n(?=[A-Z\u00c0-\u00de])")
_LABEL = re.compile(r"\A(?:caption|description|answer|描述|内容|beschreibung)\s?[:：]\s?", re.I)
_LOOSE_START = re.compile(r"\A[\s:：,，、;；.\-–—=|*•>)\]]+(?<!\.\.\.)")
_LOOSE_END = " \n,，、;；:：-–—=|*•<(["
_LIST_NUMBER = re.compile(r"\A\(?\d{1,3}[.):、]\s")
_EMPTY_ITEM = re.compile(rf"\n ?(?:{BULLET})?\(?\d{{1,3}}[.):]\Z")
_ITEMS = re.compile(rf"([.!?;:,。；：，]?)\n{BULLET}")
_QUOTED = re.compile(r"\A([\"“«「『])(.*)([\"”»」』][.。]?)\Z", re.DOTALL)
_PLACEHOLDER = re.compile(r"n/?a|none|null|nil|unknown|empty|tbd|caption|无|暂无", re.IGNORECASE)


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
    text = squeeze(text)
    cut = finish_reason != "stop" or len(text) > MAX_CHARS
    body = squeeze(without_thoughts(printable(text[:MAX_CHARS])))
    readers = [_from_text, _from_json]
    if json or _JSON_START.match(body):
        readers.reverse()
    found = Found()
    for read in readers:
        found = read(body, wanted, cut)
        if found.texts or found.cut:
            break
    refused = is_refusal(body)
    # Regions may share a text; it is read once.
    verdicts = {text: verdict(text) for text in set(found.texts.values())}
    return {
        number: verdicts[found.texts[number]]
        if number in found.texts
        else _without_text(number, found, refused)
        for number in wanted
    }


def without_thoughts(text: str) -> str:
    """Without what stands between think tags, also where the first or the last one is missing."""
    before, closing, after = text.partition("</think>")
    if closing and "<think>" not in before:
        text = after
    said, *thoughts = text.split("<think>")
    return said + "".join(thought.partition("</think>")[2] for thought in thoughts)


def verdict(text: str) -> RegionAnswer:
    """What a region's own text comes to."""
    caption = _caption(text)
    if is_refusal(text):
        return RegionAnswer("refused", why=REFUSED)
    if not caption:
        return RegionAnswer("invalid", why=EMPTY)
    if not re.search(r"[^\W_]", caption) or _PLACEHOLDER.fullmatch(caption.rstrip(".")):
        return RegionAnswer("invalid", why=NO_WORDS)
    return RegionAnswer("ok", caption)


def _without_text(number: int, found: Found, refused: bool) -> RegionAnswer:
    if number in found.cut:
        return RegionAnswer("invalid", why=CUT_OFF)
    if refused:
        return RegionAnswer("refused", why=REFUSED)
    return RegionAnswer("missing", why=NOT_IN_ANSWER)


def _from_json(body: str, wanted: list[int], _cut: bool) -> Found:
    # A pair of JSON shows by itself whether it is whole.
    found = json_captions(body)
    if 0 in found.texts or counts_otherwise(found.bare, wanted):
        return Found()
    if len(wanted) == 1 and not found.texts and not found.cut and len(found.unnamed) == 1:
        found.texts[wanted[0]] = found.unnamed[0]
    texts = {n: _own(found.texts[n], n) for n in wanted if n in found.texts}
    return Found(texts, found.cut.intersection(wanted))


def _own(text: str, number: int) -> str:
    """A value's text without the name of its region, if it begins with that."""
    text = squeeze(without_markdown(text))
    parts = segments(text, [number])
    if parts and parts[0].numbers == (number,) and text.endswith(parts[0].text):
        return parts[0].text
    return text


def _from_text(body: str, wanted: list[int], cut: bool) -> Found:
    text = squeeze(without_markdown(body))
    parts = segments(text, wanted)
    numbers = {number for part in parts for number in part.numbers}
    named = any(not part.listed for part in parts)
    if len(wanted) == 1 and not named and wanted[0] not in numbers:
        return _lone(text, wanted[0], cut)
    if 0 in numbers or (not named and counts_otherwise(numbers, wanted)):
        return Found()
    if parts and not cut:
        parts[-1] = replace(parts[-1], text=_without_closing(parts[-1].text))
    texts = _by_region(parts[:-1] if cut else parts, set(wanted))
    broken = {*parts[-1].numbers} if parts and cut else set()
    broken -= {number for number, own in texts.items() if own}
    return Found({n: texts[n] for n in wanted if n in texts and n not in broken}, broken)


def counts_otherwise(numbers: Iterable[int], wanted: Collection[int]) -> bool:
    """Whether numbers seem to count something else than the regions' own numbers do."""
    last = max(wanted, default=0)
    return any(number < last and number not in wanted for number in numbers)


def _by_region(parts: Sequence[Segment], wanted: set[int]) -> dict[int, str]:
    """Each region's first words, those that follow them at once, and the first of it alone."""
    said: dict[int, dict[str, str]] = {}
    previous: frozenset[int] = frozenset()
    #: Regions of which all that is known is about several.
    shared: set[int] = set()
    for part in parts:
        own = fold(part.text)
        alone = len(set(part.numbers)) == 1
        for number in wanted.intersection(part.numbers):
            known = said.setdefault(number, {})
            last = next(reversed(known), "")
            follows = not known or number in previous or (alone and number in shared)
            if alone:
                shared.discard(number)
            elif not known:
                shared.add(number)
            if own not in known and own not in last and follows:
                known[own] = _caption(part.text) if known else part.text.strip()
        previous = frozenset(part.numbers) or previous
    return {number: "\n".join(known.values()) for number, known in said.items()}


def _lone(text: str, number: int, cut: bool) -> Found:
    """One region was asked for and the answer names none: all of it is the caption."""
    if not text or is_refusal(text) or _JSON_START.match(text):
        return Found()
    if cut:
        return Found(cut={number})
    chatter = _CHATTER.match(text)
    own = _without_closing(text[chatter.end() :] if chatter else text)
    return Found({number: _LIST_NUMBER.sub("", own.strip().removeprefix(BULLET))})


def _without_closing(text: str) -> str:
    closing = _CLOSING.search(text)
    return text[: closing.start()] if closing else text


def _caption(text: str) -> str:
    """One clean line of a region's text."""
    text = _LABEL.sub("", _LOOSE_START.sub("", text.strip()))
    # Separators at the end go, and a list item that says nothing.
    text = _TITLE.sub(r"\1. ", _EMPTY_ITEM.sub("", text).rstrip(_LOOSE_END))
    text = _ITEMS.sub(lambda item: f"{item[1] or ';'} ", text)
    if quoted := _QUOTED.match(text):
        text = quoted[2]
    text = fold(text)
    # The first letter in upper case, but not that of "iPhone".
    return text if text[1:2].isupper() else text[:1].upper() + text[1:]
