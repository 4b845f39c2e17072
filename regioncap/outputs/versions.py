"""Versions of a job's results: what they were before people corrected captions.

The results are always the newest version. Before they are changed, all of them are copied:

    jobs/<job>/versions/0001/part-00000.jsonl   the results as they were before the first edit
    jobs/<job>/versions/0001/_SUCCESS           written last: without it the copy is not whole
    jobs/<job>/versions/0002/...                before the second

Only then are the parts overwritten, and `_SUCCESS` last, with their new hashes. An import that
broke off leaves the `_SUCCESS` of the newest copy and of the results the same; the next one then
starts from that copy and overwrites everything again. One import at a time: nothing guards against
two people importing into one job at the same moment.
"""

from __future__ import annotations

from collections.abc import Iterator
from dataclasses import dataclass
from typing import Any

from regioncap import keys
from regioncap.errors import UsageError
from regioncap.job import Job, Summary, now, parse_summary, sums
from regioncap.jobs import catalogue
from regioncap.jobs.results import parse_part, summarize
from regioncap.jobs.success import SuccessWriter
from regioncap.outputs.edits import Edit, Edits
from regioncap.parallel import map_ahead
from regioncap.records import dump_lines
from regioncap.services.store import Store


@dataclass(slots=True)
class Changes:
    """What an import changed."""

    records: int = 0
    captions: int = 0
    #: URI under which the results as they were are kept; None if nothing changed.
    kept_as: str | None = None


def apply_edits(store: Store, job: Job, edits: Edits) -> Changes:
    """Makes a new version of the results with corrected captions.

    Args:
        store: Where they lie.
        job: A finished job.
        edits: Captions by record and region; those that are as they were change nothing.

    Raises:
        UsageError: The job is not finished (`not-finished`), or there is no such record or region
            (`bad-edits`).
    """
    success = store.find(keys.success_key(job.job))
    if success is None:
        raise catalogue.not_finished(job)
    _check(job, edits)
    number, is_kept = _next_version(store, job.job, success)
    prefix = keys.version_prefix(job.job, number)
    base = prefix if is_kept else keys.prefix(job.job, "results")
    # First look, then touch: an edit that cannot be applied changes nothing.
    changes = Changes()
    for _ in _edited_parts(store, job, base, edits, changes):
        pass
    if not changes.captions:
        return changes
    if not is_kept:
        _copy(store, job, base, prefix)
        store.put(f"{prefix}_SUCCESS", success, "application/json")
    summary = parse_summary(success)
    summary.version = number + 1
    _overwrite(store, job, prefix, edits, summary)
    changes.kept_as = store.uri(prefix)
    return changes


def _check(job: Job, edits: Edits) -> None:
    for index in edits:
        if not 0 <= index < job.records:
            raise UsageError(f"job {job.job} has no record {index}", code="bad-edits")


def _next_version(store: Store, job_id: str, success: bytes) -> tuple[int, bool]:
    """Number of the version to keep, and whether a broken-off import has kept it already."""
    number = 1
    while kept := store.find(f"{keys.version_prefix(job_id, number)}_SUCCESS"):
        if kept == success:
            return number, True
        number += 1
    return number, False


def _copy(store: Store, job: Job, base: str, prefix: str) -> None:
    def copy(shard: int) -> None:
        name = keys.part_name(shard)
        store.put(prefix + name, store.get(base + name), "application/x-ndjson")

    for _ in map_ahead(copy, range(job.shards)):
        pass


def _overwrite(store: Store, job: Job, base: str, edits: Edits, summary: Summary) -> None:
    writer = SuccessWriter()
    for shard, part in _edited_parts(store, job, base, edits, Changes()):
        key = keys.part_key(job.job, "results", shard)
        store.put(key, part, "application/x-ndjson")
        writer.add(key, summarize(part))
    summary.counts |= writer.counts
    summary.sums = sums(job, writer.counts, summary.finished)
    writer.write(store, summary)


def _edited_parts(
    store: Store, job: Job, base: str, edits: Edits, changes: Changes
) -> Iterator[tuple[int, bytes]]:
    """All parts with the edits applied, in order; those without edits byte for byte."""
    at = now().isoformat()
    for shard in range(job.shards):
        part = store.get(base + keys.part_name(shard))
        if any(index in edits for index in job.shard_records(shard)):
            records = parse_part(part)
            changed = [_edit(record, edits.get(record["index"]), at) for record in records]
            changes.captions += sum(changed)
            changes.records += sum(1 for captions in changed if captions)
            if any(changed):
                part = dump_lines(records)
        yield shard, part


def _edit(record: dict[str, Any], edit: Edit | None, at: str) -> int:
    """Puts captions into a record; returns how many it changed."""
    changed = []
    for number, caption in (edit.captions if edit else {}).items():
        if not 1 <= number <= len(record["regions"]):
            raise UsageError(f"record {record['index']} has no region {number}", code="bad-edits")
        region = record["regions"][number - 1]
        if (region["caption"] or "").strip() != caption:
            region.update(status="ok", caption=caption, why=None)
            changed.append(number)
    if edit and changed:
        earlier = (record.get("edited") or {}).get("regions", [])
        regions = sorted({*earlier, *changed})
        record["edited"] = {"at": at, "by": edit.by, "regions": regions}
        if record["error"] and record["error"]["code"] == "no-caption":
            record["error"] = None
    return len(changed)
