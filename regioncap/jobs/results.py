"""Results: the output's form, and reading them while a job runs or afterwards."""

from __future__ import annotations

import hashlib
import json
import logging
from bisect import bisect
from collections.abc import Callable, Generator, Iterable, Iterator
from dataclasses import dataclass
from typing import Any

from regioncap import keys
from regioncap.captions.texts import words
from regioncap.errors import StoreError
from regioncap.job import STATUSES, WORD_BINS, Job
from regioncap.jobs import faults, parts, picks
from regioncap.parallel import REAL, Runtime, map_ahead
from regioncap.records import InputRecord, Problem, RenderedRecord, check_fields, dump_lines
from regioncap.services.store import Found, Store

#: What of a record's usage is added up.
_USAGE = ("prompt_tokens", "completion_tokens", "gpu_ms")
#: Parts fetched and not yet read.
_PARTS_AHEAD = 16
#: Looks at a part that others change meanwhile.
_LOOKS = 20

_log = logging.getLogger(__name__)


def summarize(part: bytes) -> dict[str, Any]:
    """What is noted of a results part: its hash, and counts that add up over parts."""
    return summary_of(part, parse_part(part))


@dataclass(frozen=True, slots=True)
class Part:
    """A results part, whose lines can be read."""

    shard: int
    data: bytes
    lines: list[dict[str, Any]]
    #: Whether some of its lines stand here in the place of what could not be read.
    is_mended: bool = False

    @property
    def summary(self) -> dict[str, Any]:
        """As `summary_of`."""
        return summary_of(self.data, self.lines)


def checked(data: bytes, store: Store, job: Job, shard: int) -> Part:
    """A results part as it stands; a line that cannot be read is an error record of its place.

    Raises:
        NewerFormatError: A newer version wrote it.
        StoreError: The store is away.
    """
    key = keys.part_key(job.job, "results", shard)
    as_submitted: list[InputRecord] = []
    broken: list[int] = []

    def give_up(index: int, what: str) -> dict[str, Any]:
        if not as_submitted:
            as_submitted.extend(parts.submitted(store, job, shard))
        broken.append(index)
        return _error_line(as_submitted[index % job.settings.shard_size], what, job, store, key)

    lines = parts.each(data, key, job.shard_records(shard), _line, give_up)
    return Part(shard, dump_lines(lines) if broken else data, lines, bool(broken))


def standing(found: Found, store: Store, job: Job, shard: int) -> tuple[Found, Part]:
    """The results part that stands: where it cannot be read, error records are put in its place.

    Args:
        found: The part as it was found.
        store: Where it lies.
        job: Its job.
        shard: Its shard.

    Raises:
        StoreError: The store is away, or others change the part all the time.
    """
    key = keys.part_key(job.job, "results", shard)
    for _ in range(_LOOKS):
        part = checked(found.data, store, job, shard)
        if not part.is_mended:
            return found, part
        _log.warning("error records take the place of what cannot be read in %s", key)
        etag = store.put_matching(key, part.data, found.etag, "application/x-ndjson")
        if etag is not None:
            return Found(part.data, etag), part
        again = store.find_tagged(key)
        if again is None:
            break
        found = again
    raise StoreError(f"{key} is being changed by others", hint="try again")


def _error_line(record: InputRecord, what: str, job: Job, store: Store, key: str) -> dict[str, Any]:
    # Here, as what brings Pillow comes only to those who need it.
    from regioncap.captions.conversation import Captioned
    from regioncap.jobs.output import output_record

    message = f"{what} (regioncap retry {job.job} captions it again)"
    problem = Problem(code="results-unreadable", message=message, stage="caption")
    failed = RenderedRecord.of(record.model_copy(update={"error": record.error or problem}))
    captioned = Captioned(failed)
    return output_record(captioned, job, store, result_file=store.uri(key), engine="", model="")


def _line(text: bytes, index: int) -> dict[str, Any] | None:
    """A line of a results part; None if it is none: if what all readers take is not there."""
    try:
        [record] = parse_part(text)
        is_one = record["index"] == index and _is_result(record)
    except (ValueError, LookupError, TypeError, AttributeError, RecursionError):
        return None
    return record if is_one else None


def _is_result(record: dict[str, Any]) -> bool:
    error = record["error"]
    return (
        (error is None or {"code", "message", "stage"} <= error.keys())
        and all(map(_is_region, record["regions"]))
        and all(type(record["usage"].get(name, 0)) is int for name in _USAGE)
    )


def _is_region(region: dict[str, Any]) -> bool:
    caption = region["caption"]
    return region["status"] in STATUSES and (caption is None or isinstance(caption, str))


def summary_of(part: bytes, lines: Iterable[dict[str, Any]]) -> dict[str, Any]:
    """What `summarize` says of a part whose records are at hand."""
    names = ["records", "failed", "reused", "regions", *(f"regions_{s}" for s in STATUSES)]
    counts = dict.fromkeys([*names, *_USAGE], 0)
    for record in lines:
        counts["records"] += 1
        counts["failed"] += picks.failed(record)
        if faults.is_as_given(record):
            _add(counts, "failed_as_given")
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


def read(store: Store, job: Job) -> Generator[dict[str, Any]]:
    """The results so far, in order, fetched ahead; those not there yet are left out."""
    for part in read_parts(store, job):
        yield from part.lines


def read_with_inputs(store: Store, job: Job) -> Iterator[tuple[InputRecord, dict[str, Any]]]:
    """As `read`, each result with its record as submitted."""
    for part in read_parts(store, job):
        yield from zip(parts.submitted(store, job, part.shard), part.lines, strict=True)


def read_parts(store: Store, job: Job, *, runtime: Runtime = REAL) -> Iterator[Part]:
    """The results parts, as `read`."""

    def find(shard: int) -> tuple[int, bytes | None]:
        return shard, store.find(keys.part_key(job.job, "results", shard))

    for shard, data in map_ahead(find, range(job.shards), ahead=_PARTS_AHEAD, runtime=runtime):
        if data is not None:
            yield checked(data, store, job, shard)


def follow_parts(
    store: Store, job: Job, *, ended: Callable[[], bool], pause: Callable[[], None]
) -> Iterator[Part]:
    """Results parts in order of arrival, until the job ends.

    Args:
        store: Where they lie.
        job: The job.
        ended: Whether the job has ended, and no more parts will come.
        pause: Called when nothing new is there.

    Yields:
        Each part once.
    """
    part_keys = {keys.part_key(job.job, "results", shard): shard for shard in range(job.shards)}
    while True:
        last = ended()  # asked first: what is there when it ended is then listed for certain
        fresh = [
            key for key in store.list_keys(keys.prefix(job.job, "results")) if key in part_keys
        ]
        for key, part in zip(fresh, map_ahead(store.get, fresh), strict=True):
            yield checked(part, store, job, part_keys.pop(key))
        if last or not part_keys:
            return
        if not fresh:
            pause()
