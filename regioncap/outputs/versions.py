"""Corrected captions become the results; what they replace is kept as an earlier version.

Several people may import into one job at once: a part is replaced only as it was read, and whoever
comes second puts the captions into what the first one made of it. A file of results has all
captions, also those that its editor left alone: where the record has changed since, the ones that
are as they once were are no edits.
"""

from __future__ import annotations

from collections import defaultdict
from collections.abc import Iterable, Mapping
from contextlib import suppress
from dataclasses import dataclass
from itertools import count, takewhile
from typing import Any

from regioncap import keys
from regioncap.errors import QueueError, StoreError, UsageError
from regioncap.job import Job
from regioncap.jobs import advice, markers
from regioncap.jobs.finish import finished
from regioncap.jobs.kept import Version
from regioncap.jobs.results import checked, summarize
from regioncap.jobs.status import job_status
from regioncap.outputs.edits import Edit, Edits, check_caption, version_of
from regioncap.parallel import REAL, Runtime
from regioncap.records import dump_lines
from regioncap.services.progress import Progress
from regioncap.services.store import Store

#: Looks at a job that others change meanwhile.
_LOOKS = 20


@dataclass(slots=True)
class Changes:
    """What an import changed."""

    records: int = 0
    captions: int = 0
    #: URI under which what was replaced is kept; None if nothing changed.
    kept_as: str | None = None
    #: Captions of the file that are as they once were, and that others have changed since.
    outdated: int = 0


def apply_edits(
    store: Store, progress: Progress, job: Job, edits: Edits, *, runtime: Runtime = REAL
) -> Changes:
    """Makes a new version of the results with corrected captions.

    Args:
        store: Where they lie.
        progress: The job's progress.
        job: A finished job.
        edits: Captions by record and region; those that are as they were change nothing.
        runtime: The clock.

    Raises:
        UsageError: The job is not finished (`not-finished`), or there is no such record or region
            (`bad-edits`).
        StoreError: The store is away; doing it again goes on.
    """
    work = _Import(store, progress, job, edits, runtime)
    # First look, then touch: edits that cannot be applied change nothing.
    todo = work.look()
    if todo:
        with markers.changing(store, job.job, alone=runtime):
            for _ in range(_LOOKS):
                todo = work.replace(todo)
                if not todo:
                    break
            else:
                raise StoreError(f"job {job.job} is being changed by others", hint="try again")
        work.success()
    return work.changes


class _Import:
    def __init__(
        self, store: Store, progress: Progress, job: Job, edits: Edits, runtime: Runtime
    ) -> None:
        self._store = store
        self._progress = progress
        self._job = job
        self._edits = edits
        self._runtime = runtime
        self._at = runtime.now().isoformat()
        self.changes = Changes()
        self._outdated: set[tuple[int, int]] = set()
        self._earlier: dict[int, dict[tuple[int, int], set[str]]] = {}

    def success(self) -> bytes:
        """`_SUCCESS` that names what stands."""
        success = finished(self._store, self._progress, self._job, runtime=self._runtime)
        if success is None:
            raise advice.not_finished(job_status(self._store, None, self._job), self._job)
        return success

    def look(self) -> list[int]:
        """The shards that the edits change."""
        self.success()
        for index in self._edits:
            if not 0 <= index < self._job.records:
                raise UsageError(f"job {self._job.job} has no record {index}", code="bad-edits")
        size = self._job.settings.shard_size
        shards = sorted({index // size for index in self._edits})
        todo = [n for n in shards if self._edited(self._store.get(self._key(n)), n)[1]]
        self.changes.outdated = len(self._outdated)
        return todo

    def replace(self, shards: list[int]) -> list[int]:
        """Replaces parts; returns those that somebody else has changed meanwhile."""
        version, left = Version(self._store, self._job, self.success()), []
        for shard in shards:
            part = self._store.find_tagged(self._key(shard))
            if part is None or not version.keep(shard, part.data):
                left.append(shard)
                continue
            new, changed = self._edited(part.data, shard)
            etag = self._store.put_matching(
                self._key(shard), new, part.etag, "application/x-ndjson"
            )
            if etag is None:
                left.append(shard)
                continue
            with suppress(QueueError):  # it is a cache, and tells by the ETag that it is old
                self._progress.note_part(shard, summarize(new) | {"etag": etag})
            self.changes.captions += sum(changed)
            self.changes.records += len(changed)
            self.changes.kept_as = self.changes.kept_as or self._store.uri(version.prefix)
        return left

    def _edited(self, part: bytes, shard: int) -> tuple[bytes, list[int]]:
        """A part with the edits applied; how many captions changed of each changed record."""
        records = checked(part, self._store, self._job, shard).lines
        changed = [_edit(each, self._edit_of(each, shard), self._at) for each in records]
        return dump_lines(records), [captions for captions in changed if captions]

    def _edit_of(self, record: dict[str, Any], shard: int) -> Edit | None:
        """What a person made of a record, without what others have changed since."""
        index = record["index"]
        edit = self._edits.get(index)
        if edit is None or edit.of is None or edit.of == version_of(record):
            return edit
        if shard not in self._earlier:
            self._earlier[shard] = _earlier_captions(self._store, self._job, shard)
        now = {each["region"]: each["caption"] for each in record["regions"]}
        known = self._earlier[shard]
        old = {n for n, said in edit.captions.items() if said in known.get((index, n), ())}
        self._outdated |= {(index, n) for n in old if edit.captions[n] != now.get(n)}
        return Edit({n: c for n, c in edit.captions.items() if n not in old}, edit.by)

    def _key(self, shard: int) -> str:
        return keys.part_key(self._job.job, "results", shard)


def _earlier_captions(store: Store, job: Job, shard: int) -> dict[tuple[int, int], set[str]]:
    """The captions that a shard's records had in earlier versions, by record and region."""
    found: defaultdict[tuple[int, int], set[str]] = defaultdict(set)
    versions = (keys.version_prefix(job.job, number) for number in count(1))
    for prefix in takewhile(lambda prefix: store.exists(f"{prefix}_SUCCESS"), versions):
        part = store.find(prefix + keys.part_name(shard))
        for record in checked(part, store, job, shard).lines if part else []:
            for region in record["regions"]:
                if region["caption"]:
                    found[record["index"], region["region"]].add(region["caption"].strip())
    return found


def answer_of(regions: Iterable[Mapping[str, Any]]) -> str:
    """The reference's `answer`, made from the captions: a line a region."""
    return "\n".join(
        f"<region{each['region']}>: {each['caption']}" for each in regions if each["caption"]
    )


def _edit(record: dict[str, Any], edit: Edit | None, at: str) -> int:
    """Puts captions into a record; returns how many it changed."""
    changed = []
    for number, caption in (edit.captions if edit else {}).items():
        if not 1 <= number <= len(record["regions"]):
            raise UsageError(f"record {record['index']} has no region {number}", code="bad-edits")
        region = record["regions"][number - 1]
        if (region["caption"] or "").strip() != caption:
            region.update(status="ok", caption=check_caption(caption), why=None)
            if region.get("verified") is not None:  # the verdict was on other words
                region.update(verified=None, verified_as=None)
            changed.append(number)
    if edit and changed:
        earlier = (record.get("edited") or {}).get("regions", [])
        regions = sorted({*earlier, *changed})
        record["edited"] = {"at": at, "by": edit.by, "regions": regions}
        # As a record is judged when it is captioned: one caption is enough.
        record["error"] = None
        record["answer"] = answer_of(record["regions"])
    return len(changed)
