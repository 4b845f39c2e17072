"""The audit: what looks wrong with captions, found in the captions alone.

A flag is a reason to look, not a verdict: the captions stay as they are. The names of flags are
stable; they may be stored and counted.
"""

from __future__ import annotations

import re
from collections.abc import Iterator, Sequence
from dataclasses import dataclass
from typing import Literal

from regioncap.captions.answers import CUT_OFF
from regioncap.captions.refusals import is_refusal
from regioncap.captions.texts import words
from regioncap.outputs.audit.languages import guess_language, is_other_language

FlagName = Literal[
    "empty",  # no caption, or one without words
    "cut-off",  # the caption breaks off
    "refusal",  # the engine declined
    "repeats-region",  # word for word the caption of another region of the record
    "speaks-of-mark",  # of the box, the tag or the number instead of the thing
    "other-language",  # another language than the one asked for
    "refuted",  # asked back, the engine finds it true of another region, or of none
    "too-short",
    "too-long",
    "near-duplicate",  # nearly the caption of another record; found over a job only
]

#: Fewest and most words of a caption that is not flagged; a Chinese or Japanese character is one.
MIN_WORDS = 3
MAX_WORDS = 150

_COLOURS = (
    "red|blue|yellow|green|magenta|cyan|orange|purple|lime|pink|black|white|fuchsia|aqua|colou?red"
)
_FRAME = "box|rectangle|outline|frame|border|square|tag|label|marker|line"
_MARK = re.compile(
    r"[<\[]/?region ?\d++[>\]]|\bregion ?#?\d++\b|\bbounding[- ]box"
    r"|\b(?:numbered|marked) (?:region|box)\b"
    r"|\b(?:outlined|highlighted|enclosed|marked|framed) (?:in|by|with) (?:an? |the )?"
    rf"(?:(?:{_COLOURS})\b|box|rectangle|number|tag)"
    r"|\b(?:inside|within|in) the (?:box|rectangle|marked area)\b",
    re.IGNORECASE,
)
_COLOURED_FRAME = re.compile(
    rf"\b(?P<colour>{_COLOURS})[- ](?:bounding[- ])?(?:{_FRAME})\b", re.IGNORECASE
)
_NUMBERED = re.compile(
    r"\b(?:number|tag|label|labell?ed|numbered|marked|no\.) (?:as |with )?[\"'“#]?(\d{1,3})\b", re.I
)
#: A caption that ends on one of these was cut off.
_DANGLING = re.compile(
    r"(?:[,;:(\-–—，、：]|\b(?:a|an|the|and|or|of|with|in|on|at|to|by|from|its|their|is|are|that|which))$",
    re.IGNORECASE,
)


@dataclass(frozen=True, slots=True)
class CaptionedRegion:
    """A region with what the results say of it."""

    region: int
    status: str = "ok"
    caption: str | None = None
    #: Why there is no caption, as `answers` gives it.
    why: str | None = None
    #: What verification found, and the region that it named.
    verified: bool | None = None
    verified_as: int | None = None
    #: Name of the colour of its mark; empty if not known: then any colour counts as the mark's.
    colour: str = ""


@dataclass(frozen=True, slots=True)
class Flag:
    """Something to look at in the caption of a region."""

    region: int
    name: FlagName
    #: What was seen: the words at fault, a count, the other region.
    detail: str = ""


def flags(regions: Sequence[CaptionedRegion], *, language: str = "") -> list[Flag]:
    """What looks wrong with the captions of one record.

    Args:
        regions: All regions of the record.
        language: ISO 639-1 code of the language asked for; empty if any will do.

    Returns:
        Flags in the order of the regions, each name at most once a region.
    """
    numbers = {region.region for region in regions}
    first_with: dict[str, int] = {}
    found: list[Flag] = []
    for region in regions:
        caption = region.caption or ""
        if not words(caption):
            found.append(_without_caption(region))
            continue
        found += _wording_flags(region, caption, numbers)
        found += _length_flags(region.region, caption)
        if region.verified is False:
            found.append(Flag(region.region, "refuted", str(region.verified_as or "none")))
        if language and is_other_language(caption, language):
            found.append(Flag(region.region, "other-language", guess_language(caption)))
        same = first_with.setdefault(" ".join(words(caption)), region.region)
        if same != region.region:
            found.append(Flag(region.region, "repeats-region", str(same)))
    return found


def _without_caption(region: CaptionedRegion) -> Flag:
    if region.status == "refused":
        return Flag(region.region, "refusal", region.why or "")
    name: FlagName = "cut-off" if region.why == CUT_OFF else "empty"
    return Flag(region.region, name, region.why or region.status)


def _wording_flags(region: CaptionedRegion, caption: str, numbers: set[int]) -> Iterator[Flag]:
    if region.status == "refused" or is_refusal(caption):
        yield Flag(region.region, "refusal", caption[:80])
    if mark := _speaks_of_mark(caption, region.colour, numbers):
        yield Flag(region.region, "speaks-of-mark", mark)
    if region.why == CUT_OFF or _DANGLING.search(caption.strip()):
        yield Flag(region.region, "cut-off", caption[-40:])


def _speaks_of_mark(caption: str, colour: str, numbers: set[int]) -> str:
    """The words that speak of the mark; empty if none do.

    A red box may be the thing itself: a coloured frame counts if it has the mark's colour, a number
    ("number 3") if a region of the record has it.
    """
    if match := _MARK.search(caption):
        return match[0]
    for match in _COLOURED_FRAME.finditer(caption):
        if not colour or match["colour"].lower() in {colour.lower(), "colored", "coloured"}:
            return match[0]
    for match in _NUMBERED.finditer(caption):
        if int(match[1]) in numbers:
            return match[0]
    return ""


def _length_flags(region: int, caption: str) -> Iterator[Flag]:
    count = len(words(caption))
    if count < MIN_WORDS:
        yield Flag(region, "too-short", f"{count} words")
    if count > MAX_WORDS:
        yield Flag(region, "too-long", f"{count} words")
