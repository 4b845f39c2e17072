"""Results: the output's form, and reading them while a job runs or afterwards."""

from __future__ import annotations

import hashlib
import json
from bisect import bisect
from collections.abc import Callable, Iterable, Iterator
from typing import Any

from regioncap import keys
from regioncap.captions.texts import words
from regioncap.job import STATUSES, WORD_BINS, Job
from regioncap.jobs import parts
from regioncap.parallel import REAL, Runtime, map_ahead
from regioncap.records import InputRecord, check_fields
from regioncap.services.store import Store

#: What of a record's usage is added up.
_USAGE = ("prompt_tokens", "completion_tokens", "gpu_ms")
#: Parts fetched and not yet read.
_PARTS_AHEAD = 16


def summarize(part: bytes) -> dict[str, Any]:
    """What is noted of a results part: its hash, and counts that add up over parts."""
    return summary_of(part, parse_part(part))


def summary_of(part: bytes, lines: Iterable[dict[str, Any]]) -> dict[str, Any]:
    """What `summarize` says of a part whose records are at hand."""
    names = ["records", "failed", "reused", "regions", *(f"regions_{s}" for s in STATUSES)]
    counts = dict.fromkeys([*names, *_USAGE], 0)
    for record in lines:
        counts["records"] += 1
        counts["failed"] += record["error"] is not None
        counts["regions"] += len(record["regions"])
        counts["reused"] += record.get("reused") is not None
        for region in record["regions"]:
            counts[f"regions_{region['status']}"] += 1
        for name in _USAGE:
            counts[name] += record["usage"].get(name, 0)
        _count_quality(record, counts)
    return {"sha256": hashlib.sha256(part).hexdigest(), "counts": counts}


def _count_quality(record: dict[str, Any], counts: dict[str, int]) -> None:
    """Adds what the captions of a result are like; what is none of is not counted."""
    seen: set[tuple[str, ...]] = set()
    for region in record["regions"]:
        if region["caption"] is None:
            continue
        said = tuple(words(region["caption"]))
        at = max(0, bisect(WORD_BINS, len(said)) - 1)
        _add(counts, f"captions_from_{WORD_BINS[at]}_words")
        if (verified := region.get("verified")) is not None:
            _add(counts, "captions_verified" if verified else "captions_refuted")
        if said in seen:
            _add(counts, "captions_repeated")
        seen.add(said)
    if record.get("image_caption"):
        _add(counts, "image_captions")


def _add(counts: dict[str, int], name: str) -> None:
    counts[name] = counts.get(name, 0) + 1


def parse_part(part: bytes) -> list[dict[str, Any]]:
    """Records of a results part.

    Raises:
        NewerFormatError: A newer version wrote them.
    """
    return [check_fields(json.loads(line)) for line in part.split(b"\n") if line]


def read(store: Store, job: Job) -> Iterator[dict[str, Any]]:
    """The results so far, in order, fetched ahead; those not there yet are left out."""
    for _, part in read_parts(store, job):
        yield from parse_part(part)


def read_with_inputs(store: Store, job: Job) -> Iterator[tuple[InputRecord, dict[str, Any]]]:
    """As `read`, each result with its record as submitted."""
    for shard, part in read_parts(store, job):
        yield from zip(parts.submitted(store, job, shard), parse_part(part), strict=True)


def read_parts(store: Store, job: Job, *, runtime: Runtime = REAL) -> Iterator[tuple[int, bytes]]:
    """Shard number and bytes of the results parts, as `read`."""

    def find(shard: int) -> tuple[int, bytes | None]:
        return shard, store.find(keys.part_key(job.job, "results", shard))

    for shard, part in map_ahead(find, range(job.shards), ahead=_PARTS_AHEAD, runtime=runtime):
        if part is not None:
            yield shard, part


def follow_parts(
    store: Store, job: Job, *, ended: Callable[[], bool], pause: Callable[[], None]
) -> Iterator[tuple[int, bytes]]:
    """Results parts in order of arrival, until the job ends.

    Args:
        store: Where they lie.
        job: The job.
        ended: Whether the job has ended, and no more parts will come.
        pause: Called when nothing new is there.

    Yields:
        Shard number and the part's bytes, each part once.
    """
    part_keys = {keys.part_key(job.job, "results", shard): shard for shard in range(job.shards)}
    while True:
        last = ended()  # asked first: what is there when it ended is then listed for certain
        fresh = [
            key for key in store.list_keys(keys.prefix(job.job, "results")) if key in part_keys
        ]
        for key, part in zip(fresh, map_ahead(store.get, fresh), strict=True):
            yield part_keys.pop(key), part
        if last or not part_keys:
            return
        if not fresh:
            pause()
