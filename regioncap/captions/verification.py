"""Verification: captions asked back, to know which of them are wrong.

A caption is shown to the engine with the picture that it was made from: which of the marked regions
is it true of, 1, 2, ... or none? Of a crop it is yes or no. The question follows the words and the
picture of the first one, which prefix and encoder caches hold, and the answer is one of a few
choices, which the engine's grammar enforces where it has one; so it costs little.

A model that judges its own words is no proof. What it catches is measured by `regioncap eval
--verify`.
"""

from __future__ import annotations

import re
from collections.abc import Mapping, Sequence
from dataclasses import dataclass

from regioncap.captions import answers
from regioncap.captions.texts import fold, printable
from regioncap.engines.base import Answer, CaptionRequest, Engine, Sampling
from regioncap.errors import RequestError
from regioncap.records import RenderedRecord, View
from regioncap.views import prompts
from regioncap.views.view import ViewSettings

#: Room for the longest choice, however its tokens are cut; and for a few words of engines that have
#: no grammar for it.
_MAX_TOKENS = 16
_CHOICE = re.compile(r"\d+|\b[a-z]+\b")


@dataclass(frozen=True, slots=True)
class Claim:
    """A caption, and the region that it is said of."""

    region: int
    caption: str


@dataclass(frozen=True, slots=True)
class Verdict:
    """What became of a claim."""

    region: int
    #: Whether the engine finds the caption true of its region; None if it did not say.
    verified: bool | None
    #: The region that it finds it true of; None for none.
    verified_as: int | None


@dataclass(slots=True)
class Cost:
    """What verification took."""

    requests: int = 0
    prompt_tokens: int = 0
    completion_tokens: int = 0


async def verify(
    record: RenderedRecord,
    claims: Sequence[Claim],
    pictures: Mapping[str, bytes],
    engine: Engine,
    how: ViewSettings,
    *,
    first_request: int = 0,
) -> tuple[list[Verdict], Cost]:
    """Asks captions of one record back.

    Args:
        record: The record; each claim's region is in one of its views.
        claims: The captions.
        pictures: The JPEG of each view, by its key.
        engine: A started engine.
        how: How the regions are shown.
        first_request: How many requests there were about the record.

    Returns:
        A verdict for each claim, in order, and what it took.

    Raises:
        EngineDeadError: The engine is gone.
    """
    views = {shown.number: view for view in reversed(record.views) for shown in view.regions}
    asked = [claim for claim in claims if claim.region in views]
    requests = [
        _request(claim, views[claim.region], pictures, how, f"{how.name}-{record.index}-{nth}")
        for nth, claim in enumerate(asked, first_request)
    ]
    replies = await engine.caption(requests) if requests else []
    cost = Cost(requests=len(requests))
    found: dict[Claim, Verdict] = {}
    for claim, request, reply in zip(asked, requests, replies, strict=True):
        if isinstance(reply, Answer):
            cost.prompt_tokens += reply.prompt_tokens
            cost.completion_tokens += reply.completion_tokens
        found[claim] = _verdict(claim, request, reply)
    return [found.get(claim, Verdict(claim.region, None, None)) for claim in claims], cost


def _request(
    claim: Claim,
    view: View,
    pictures: Mapping[str, bytes],
    how: ViewSettings,
    request_id: str,
) -> CaptionRequest:
    prompt, choices = prompts.build_check(how.template, view, claim.caption, schema=how.schema)
    return CaptionRequest(
        request_id=request_id,
        image=pictures[view.key],
        prompt=prompt,
        sampling=Sampling(temperature=0.0, max_tokens=_MAX_TOKENS),
        regions=tuple(view.regions),
        mark_style=view.mark_style,
        choices=choices,
        claim=claim.caption,
    )


def _verdict(claim: Claim, request: CaptionRequest, reply: Answer | RequestError) -> Verdict:
    choice = None if isinstance(reply, RequestError) else read_choice(reply.text, request.choices)
    if choice is None:
        return Verdict(claim.region, None, None)
    if choice == prompts.YES:
        return Verdict(claim.region, True, claim.region)
    named = int(choice) if choice.isdecimal() else None
    return Verdict(claim.region, named == claim.region, named)


def read_choice(text: str, choices: Sequence[str]) -> str | None:
    """The one choice that a text names; None if it names none or several."""
    said = fold(answers.without_thoughts(printable(text))).casefold()
    known = {choice.casefold(): choice for choice in choices}
    if said in known:
        return known[said]
    words = {word.lstrip("0") or word for word in _CHOICE.findall(said)}
    named = {known[word] for word in words if word in known}
    others = {word for word in words if word.isdecimal()} - known.keys()
    return named.pop() if len(named) == 1 and not others else None
