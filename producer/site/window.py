"""A window on a job's results: the next records that are wanted, read shard by shard.

A job may have a million records. A page shows fifty; what leads to them is read, and no more, and
no longer than a person waits.
"""

from __future__ import annotations

import json
import time
from collections.abc import Callable, Iterable, Iterator, Mapping, Sequence
from typing import Any, NamedTuple

from regioncap import keys
from regioncap.job import Job
from regioncap.jobs import picks
from regioncap.outputs.audit import record_flags
from regioncap.parallel import map_ahead
from regioncap.records import check_fields
from regioncap.services.store import Store
from regioncap.views import prompts

#: Records on a page.
PAGE_RECORDS = 50
#: Longest time in which one page looks for its records, and for why records failed.
_LOOK_S = 3.0
_REASONS_S = 1.5
#: Parts fetched at once and not yet read.
_AHEAD = 8
#: Reasons that are shown.
_MOST_REASONS = 12

Wanted = Callable[[Mapping[str, Any]], bool]


class Window(NamedTuple):
    """Some records, in order, and where to go on."""

    records: list[dict[str, Any]]
    #: The first record that was not looked at any more, in the direction read; None at the end.
    rest: int | None


class Reason(NamedTuple):
    """Why records have no caption, or regions of them."""

    #: The code of the error, or the status of the regions.
    code: str
    #: How many records, or regions.
    found: int
    of: str
    #: In the words of the first one.
    message: str
    hint: str
    #: That one.
    record: int


class Reasons(NamedTuple):
    """The most frequent reasons first."""

    reasons: list[Reason]
    #: Whether all records were looked at, or time was short.
    complete: bool


def flagged(job: Job) -> Wanted:
    """Wants records with a caption that looks wrong, as `regioncap audit` flags it."""
    language = language_of(job)
    return lambda record: picks.flagged(flag.name for flag in record_flags(record, language))


def saying(text: str) -> Wanted:
    """Wants records in which all these words stand, in captions, names or errors."""
    words = text.lower().split()

    def wanted(record: Mapping[str, Any]) -> bool:
        said = "\n".join(_texts(record)).lower()
        return all(word in said for word in words)

    return wanted


def _texts(record: Mapping[str, Any]) -> Iterator[str]:
    yield from (str(record.get(name) or "") for name in ("id", "image", "image_caption", "answer"))
    yield json.dumps(record["meta"] or "", ensure_ascii=False)
    for region in record["regions"]:
        yield from (str(region[name] or "") for name in ("caption", "status", "why"))
        for name, value in (region.get("attributes") or {}).items():
            yield f"{name}:{value}"
    if record["error"]:
        yield from (str(record["error"][name]) for name in ("code", "message", "stage"))


def language_of(job: Job) -> str:
    """ISO 639-1 code of the language that captions are asked for in; empty if any will do."""
    return prompts.template_of(job.settings.prompt, job.prompt_template).language


def read_window(
    store: Store,
    job: Job,
    shards: Iterable[int],
    wanted: Sequence[Wanted],
    *,
    start: int,
    backwards: bool = False,
    within_s: float = _LOOK_S,
) -> Window:
    """Reads a page of the records that are wanted.

    Args:
        store: Where the results lie.
        job: The job.
        shards: In which shards to look, in ascending order.
        wanted: Say of a record whether it is; all must.
        start: The first record to look at, by its index.
        backwards: Whether to go to lower indices from there; the records are in order all the same.
        within_s: Longest time to look; at least one shard is looked at.
    """
    size, until = job.settings.shard_size, time.monotonic() + within_s
    order = [n for n in shards if (n <= start // size if backwards else n >= start // size)]
    found: list[dict[str, Any]] = []
    rest: int | None = None
    for shard, part in _parts(store, job, order[::-1] if backwards else order):
        places = job.shard_records(shard)
        if time.monotonic() > until and shard != start // size:
            rest = places[-1] if backwards else places[0]
            break
        for index, line in _lines(part, places, backwards=backwards):
            if index > start if backwards else index < start:
                continue
            if len(found) == PAGE_RECORDS:
                rest = index
                break
            record = check_fields(json.loads(line))
            if all(says(record) for says in wanted):
                found.append(record)
        if rest is not None:
            break
    return Window(found[::-1] if backwards else found, rest)


def why_failed(
    store: Store, job: Job, shards: Iterable[int], *, within_s: float = _REASONS_S
) -> Reasons:
    """Gathers why records failed.

    Args:
        store: Where the results lie.
        job: The job.
        shards: In which shards records failed.
        within_s: Longest time to look.
    """
    until = time.monotonic() + within_s
    first: dict[tuple[str, str], Reason] = {}
    complete = True
    for shard, part in _parts(store, job, shards):
        for _, line in _lines(part, job.shard_records(shard), backwards=False):
            for reason in _reasons(check_fields(json.loads(line))):
                known = first.get((reason.of, reason.code), reason._replace(found=0))
                first[reason.of, reason.code] = known._replace(found=known.found + 1)
        if time.monotonic() > until:
            complete = False
            break
    order = sorted(first.values(), key=lambda reason: -reason.found)
    return Reasons(order[:_MOST_REASONS], complete)


def _reasons(record: Mapping[str, Any]) -> Iterator[Reason]:
    index, error = record["index"], record["error"]
    if error is not None:
        yield Reason(error["code"], 1, "record", error["message"], error.get("hint") or "", index)
        return
    for region in record["regions"]:
        if region["status"] not in picks.FINE:
            yield Reason(region["status"], 1, "region", region["why"] or "", "", index)


def _parts(store: Store, job: Job, shards: Iterable[int]) -> Iterator[tuple[int, bytes]]:
    def find(shard: int) -> tuple[int, bytes | None]:
        return shard, store.find(keys.part_key(job.job, "results", shard))

    for shard, part in map_ahead(find, shards, ahead=_AHEAD):
        if part is not None:
            yield shard, part


def _lines(part: bytes, places: range, *, backwards: bool) -> Iterator[tuple[int, bytes]]:
    """The lines of a part with the indices of their records: one stands for each, in order."""
    lines = list(zip(places, (line for line in part.split(b"\n") if line), strict=False))
    return reversed(lines) if backwards else iter(lines)
