"""Markers: where, in free text, the words about each region begin.

A marker names regions: `<region3>`, `Region 3`, `区域3`, `the third region`, `3.`. One that stands
at the head of a sentence (after at most a few words like "In the region marked") begins that
region's segment, which goes on to the next head; one inside a sentence ("a man left of
<region2>") is only a mention. Where each line ends with its marker, the marker names the words
before it. Numbers of lists count only where no region is named otherwise.

All patterns run over squeezed text. To take time linear in its length, none has two pieces that may
share a run of characters, nor begins with a run.
"""

from __future__ import annotations

import re
from bisect import bisect_left
from collections.abc import Collection, Iterator
from dataclasses import dataclass, replace
from operator import attrgetter

_WORD = (
    r"(?:regions?|regionen|regione|regioni|regi[oó]n(?:es)?|régions?|regi(?:ão|ões)|regio"
    r"|bereiche?s?|област[ьи]|регион(?:ы|е|а)?|区域|區域|领域|領域|リージョン|地域|영역|지역"
    r"|vùng|bölge|obszar|gebied|wilayah|المنطقة|منطقة|क्षेत्र)"
)
_WEAK_WORD = (
    r"(?:r|area|zone|zona|box|tag|object|number|item|marker|mark|no\.?|nr\.?|编号|標籤|标签|标记)"
)
_UNITS = "one|two|three|four|five|six|seven|eight|nine|ten"
_ORDINALS = "first|second|third|fourth|fifth|sixth|seventh|eighth|ninth|tenth"
_CIRCLED = "①②③④⑤⑥⑦⑧⑨⑩⑪⑫⑬⑭⑮⑯⑰⑱⑲⑳"
_NUMERALS = {
    numeral: i
    for numerals in (_UNITS.split("|"), _ORDINALS.split("|"), "一二三四五六七八九十", _CIRCLED)
    for i, numeral in enumerate(numerals, 1)
}
_DIGITS = r"\d{1,4}(?![0-9A-Za-z])"
_SPELT = rf"(?:{_UNITS})\b(?=\s?[:：,.)\-–—])|[一二三四五六七八九十](?![一二三四五六七八九十])"
_TAG = (
    rf"[<＜《〈\[(（【{{「]\s?(?:(?P<close>/)\s?)?{_WORD}(?:\s?(?:id|no|number))?[\s=:#_\-.]{{0,4}}"
    rf"[\"']?(?P<tagged>\d{{1,4}})[\"']?\s?[>＞》〉\])）】}}」]"
)
_NAMED = (
    rf"(?<![A-Za-z\u00c0-\u024f]){_WORD}[\s#№_\-]{{0,4}}(?:(?:no|nr|number)\b\.?\s?)?"
    rf"(?:\((?P<enclosed>\d{{1,4}})\)|(?P<named>{_DIGITS}|{_SPELT}))"
)
_ORDINAL = (
    rf"(?:\b(?P<ordinal>{_ORDINALS})\s(?:marked\s)?region\b"
    r"|第(?P<counted>\d{1,4}|[一二三四五六七八九十])[个個の]?(?:标记的?)?(?:区域|區域|領域))"
)
_WEAK = (
    rf"^(?:• )?{_WEAK_WORD}(?:\s?#)?\s?(?P<weak>\d{{1,4}})"
    r"(?=\s?(?:\([^()\n]{0,80}\)\s?)?(?:[:：)\-–—]|$))"
)
_MARKER = re.compile(f"{_TAG}|{_NAMED}|{_ORDINAL}|{_WEAK}", re.IGNORECASE | re.MULTILINE)
_LISTED = re.compile(
    r"^(?:• )?(?:[<\[(（【#]\s?(?P<bracketed>\d{1,3})(?:\s?[>\])）】])?"
    r"|(?P<plain>\d{1,3})(?=\s?[.:：、．)）\-–—])|(?P<circled>[①-⑳]))(?!\d)(?![.:]\d)",
    re.MULTILINE,
)
#: The next item on the same line: "1. A cat. 2. A dog."
_RUN_ON = re.compile(r"(?<=[.!?;。；！？])[ ]?\(?(?P<run_on>\d{1,3})[.)][ ](?=\S)")
_BARE_NUMBER = re.compile(rf"\s?(?P<number>{_DIGITS})")

_JOINT = re.compile(
    r"\s?(?:,\s?)?(?:,|、|&|and|und|et|y|e|и|和|與|与|及|(?P<range>to|through|bis|à|到|至|-|–))\s?"
)

_SENTENCE_END = re.compile(r"\n|[.!?…;][\"'”’»)\]]*+\s|[。！？；]\s?|\|\s?")
_CLAUSE_BEFORE = re.compile(
    r"(?:(?P<mark>[,;，；、:：])|(?=\s(?:and|while|und|et|y)\s))\s?"
    r"(?P<conjunction>(?:and|while|whereas|but|und|während|et|tandis que|y|mientras que|e"
    r"|enquanto|а|и)\s|而)?(?P<preposition>(?:in|within|inside|dans|en|no|в)\s|在)?(?:the\s)?$",
    re.IGNORECASE,
)
_SHOWS = (
    r"shows?|depicts?|contains?|features?|displays?|presents?|captures?|portrays?|zeigt|enthält"
    r"|montre|contient|muestra|contiene|mostra|contém|показывает|содержит"
)
_CLAUSE_AFTER = re.compile(
    rf"\s?(?:(?P<colon>[:：])|(?P<comma>[,，、中])|(?P<verb>{_SHOWS}|显示|展示|是))", re.IGNORECASE
)
#: "<region1> A cat <region2> A dog": a sentence begins here, whatever ended the one before.
_SENTENCE_START = re.compile(r"[ ](?:A|An|The|Two|Three|Some|Several|This|There)\s")
_WORDS = re.compile(r"[^\W\d_]")
#: What is left over before a name taken out of its sentence.
_PLACE = re.compile(r"\s?(?:\b(?:in|inside|within|at|of)(?: the)?\s?)?$", re.IGNORECASE)
#: How far before a name its sentence may begin, characters.
_LEAD_CHARS = 100
_LEAD_CJK = re.compile(
    r"对于|关于|關於|标记的?|標記的?|图像?中?|图片中?|画像|描述|内容|在|于|的|中|は|の|では|に"
)
_LEADS = """
    a the in inside within for at on of as and both here by with contents content regions region
    area box tag number image marked numbered labeled labelled named following description caption
    im am der die das dem des inhalt von für bereich markierten bild dans la le les l contenu de
    pour zone du sur en el los del contenido para zona marcada nella nel della contenuto per na no
    da do conteúdo в во на для области регионе содержимое
"""
_LEAD_WORDS = frozenset(_LEADS.split())
#: "(red box)", and what Chinese, Japanese and Korean put after a place or a topic.
_ASIDE = re.compile(
    r"(?:\s?(?:\([^()\n]{0,80}\)|\[[^\[\]\n]{0,80}\])(?=\s?(?:[:：,，\-–—]|\n|$)))?"
    r"\s?(?:中?的?内容|の中|中(?![国國年间央心])|[内里裡]|에는|에서는|은|는)?(?:では|には|[はでに])?"
)
_SEPARATOR = re.compile(r"[\s\"']*+[:：,，、.)）\-–—=|>*]+[ ]?")
#: "<region1> shows a cat": what only links the name to the thing goes with the name.
_LINK = re.compile(
    rf"\s?(?:(?:{_SHOWS}|is|are|illustrates?|includes?|ist|sind|zeigen|est|représente|es|показана?)"
    r"(?=\s)(?:\s?[:：])?"
    r"|[都均]?(?:显示了?|展示了?|描绘了?|描述了?|包含了?|呈现了?|是|为|為)[:：，,]?)\s?",
    re.IGNORECASE,
)


@dataclass(frozen=True, slots=True)
class Segment:
    """A stretch of an answer about some regions."""

    #: The regions it is about; none for what stands before, between and after.
    numbers: tuple[int, ...]
    text: str
    #: Whether nothing but the number of a list item named the region.
    listed: bool = False


@dataclass(frozen=True, slots=True)
class _Name:
    start: int
    end: int
    numbers: tuple[int, ...]
    closing: bool


def segments(text: str, wanted: Collection[int]) -> list[Segment]:
    """Cuts free text at the heads of regions, in the order of the text.

    Args:
        text: Plain lines, as `without_markdown` leaves them, squeezed.
        wanted: Numbers of the regions asked for; others end a segment all the same.

    Returns:
        The segments; none if the text names no region.
    """
    names = list(_names(text, wanted))
    heads = _heads(text, names)
    if not heads and names:
        return _sentences_with_one_name(text, names)
    if len(heads) > 1 and _WORDS.search(text, 0, heads[0].start):
        if (lines := _named_at_their_ends(text, names)) is not None:
            return lines
        if not _WORDS.search(text, heads[-1].end) and not _is_announced(text[: heads[0].start]):
            return []
    listed = not heads
    heads = heads or list(_listed(text, wanted))
    ends = [*(head.start for head in heads[1:]), len(text)] if heads else []
    return [
        Segment(() if head.closing else head.numbers, text[head.end : end], listed)
        for head, end in zip(heads, ends, strict=True)
    ]


def _names(text: str, wanted: Collection[int]) -> Iterator[_Name]:
    position = 0
    while match := _MARKER.search(text, position):
        numbers, end = [_number(match)], match.end()
        while not match["close"] and (joint := _JOINT.match(text, end)):
            partner = _partner(text, joint.end(), match)
            if partner is None:
                break
            last = _number(partner)
            if joint["range"]:
                numbers += [n for n in wanted if numbers[-1] < n < last]
            numbers.append(last)
            end = partner.end()
        yield _Name(match.start(), end, tuple(dict.fromkeys(numbers)), bool(match["close"]))
        position = end


def _partner(text: str, at: int, first: re.Match[str]) -> re.Match[str] | None:
    """The next name of "<region1> and <region2>", also the bare number of "Regions 1 and 2"."""
    if (marker := _MARKER.match(text, at)) is not None:
        return None if marker["close"] else marker
    plural = re.match(r"regions|regionen|regiones|régions|regioni|regiões", first[0], re.I)
    return _BARE_NUMBER.match(text, at) if first["named"] and plural else None


def _number(match: re.Match[str]) -> int:
    digits = next(value for value in reversed(match.groups()) if value)
    return _NUMERALS.get(digits.lower()) or int(digits)


def _heads(text: str, names: list[_Name]) -> list[_Name]:
    """The names that begin a segment, each widened to all that introduces the caption."""
    heads: dict[int, _Name] = {}
    opened: set[int] = set()
    for i, name in enumerate(names):
        if name.closing and opened.issuperset(name.numbers):
            heads[i] = name
        elif (start := _lead_start(text, names[i - 1] if i else None, name)) is not None:
            heads[i] = _widened(text, name, start)
            opened.update(name.numbers)
    for i, name in enumerate(names):
        if i not in heads and not opened.issuperset(name.numbers):
            start = _clause_start(text, name)
            if start is not None:
                heads[i] = _widened(text, name, start)
    return [head for _, head in sorted(heads.items())]


def _lead_start(text: str, previous: _Name | None, name: _Name) -> int | None:
    """Where the words begin that lead to a name at the head of a sentence; None inside one."""
    lower = previous.end if previous else 0
    floor = max(lower, name.start - _LEAD_CHARS)
    starts = [match.end() for match in _SENTENCE_END.finditer(text, floor, name.start)]
    after_closing = previous is not None and previous.closing and floor == lower
    if floor == 0 or after_closing or text[floor - 1] == "\n":
        starts.insert(0, floor)
    return starts[-1] if starts and _is_lead(text[starts[-1] : name.start]) else None


def _is_lead(text: str) -> bool:
    words = re.findall(r"[^\W\d_]+", _LEAD_CJK.sub(" ", text).casefold())
    return len(words) <= 10 and _LEAD_WORDS.issuperset(words)


def _clause_start(text: str, name: _Name) -> int | None:
    """Where a clause about a region begins inside a sentence; None for a mere mention.

    A name in mid-sentence begins a clause before a colon ("..., <region2>: a dog"), after a
    conjunction or a semicolon and before a comma ("while in <region2>, a dog"), after a comma or
    a conjunction and before a verb of showing ("and <region2> shows a dog"), and before an article
    in upper case ("a cat <region2> A dog").
    """
    if _SENTENCE_START.match(text, name.end):
        return name.start
    after = _CLAUSE_AFTER.match(text, name.end)
    if after is None:
        return None
    before = _CLAUSE_BEFORE.search(text, max(0, name.start - 40), name.start)
    if before is None:
        return name.start if after["colon"] else None
    firm = before["conjunction"] or before["preposition"] or before["mark"] not in ",，、"
    return before.start() if after["colon"] or after["verb"] or firm else None


def _widened(text: str, name: _Name, start: int) -> _Name:
    aside = _ASIDE.match(text, name.end)
    end = aside.end() if aside else name.end
    if match := _SEPARATOR.match(text, end) or _LINK.match(text, end):
        end = match.end()
    return replace(name, start=start, end=end, closing=False)


def _listed(text: str, wanted: Collection[int]) -> Iterator[_Name]:
    """The items of a list, one a line or run on; a lone region may hold a list of its own."""
    found = list(_LISTED.finditer(text))
    if len(wanted) > 1:
        found += _RUN_ON.finditer(text)
    last = 0
    for match in sorted(found, key=lambda match: match.start()):
        number = _number(match)
        if match.re is _RUN_ON and number != last + 1:
            continue
        separator = _SEPARATOR.match(text, match.end())
        end = separator.end() if separator else match.end()
        yield _Name(match.start(), end, (number,), closing=False)
        last = number


def _sentences_with_one_name(text: str, names: list[_Name]) -> list[Segment]:
    """For "The man in <region1> waves. The dog in <region2> barks.": a sentence a region."""
    found, start, first = [], 0, 0
    for end in [*(match.end() for match in _SENTENCE_END.finditer(text)), len(text)]:
        after = bisect_left(names, end, first, key=attrgetter("start"))
        inside, first = names[first:after], after
        numbers = {number for name in inside for number in name.numbers}
        if len(numbers) == 1:
            found.append(Segment(tuple(numbers), _without_names(text, start, end, inside)))
        start = end
    return found


def _named_at_their_ends(text: str, names: list[_Name]) -> list[Segment] | None:
    """For "A cat. <region1>" a line: the words before the name; None if one line is not so."""
    found, start, first = [], 0, 0
    for line in text.split("\n"):
        end = start + len(line)
        after = bisect_left(names, end, first, key=attrgetter("start"))
        inside, first = names[first:after], after
        if inside:
            is_lead = not _WORDS.search(_LEAD_CJK.sub(" ", text[start : inside[0].start]))
            if len(inside) > 1 or is_lead or _WORDS.search(text, inside[0].end, end):
                return None
            item = _LISTED.match(line)
            words = _without_names(text, start + (item.end() if item else 0), end, inside)
            found.append(Segment(inside[0].numbers, words))
        elif _WORDS.search(line) and not _is_announced(line) and after < len(names):
            return None
        start = end + 1
    return found


def _is_announced(text: str) -> bool:
    """Whether words lead to what comes after them, as "Here are the captions:" does."""
    return text.rstrip().endswith((":", "："))


def _without_names(text: str, start: int, end: int, names: list[_Name]) -> str:
    kept = ""
    for name in names:
        kept += _PLACE.sub("", text[start : name.start])
        start = name.end
    return re.sub(r"\s?[(\[]\s?[)\]]", "", kept + text[start:end])
