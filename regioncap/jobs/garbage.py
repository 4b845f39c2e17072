"""Garbage: objects that are no longer needed, found in the store and removed by `regioncap gc`.

    jobs        that ended long ago, or are named, or whose submission broke off
    marked      of jobs that ended long ago, or are named, only the marked pictures and what
                belongs to them
    pictures    sources that no job names any more
    captions    kept for later jobs with `--reuse`
    keys        of submissions that broke off
    ends        markers of ends that nobody was to be told of

A job that has not ended is never touched, however old it is. A source may be shared by many jobs:
it goes only if no remaining job's input names it, and it is looked for in the text of the input
parts, so that the form of a line does not matter. A submission that finds its picture in the store
writes no new one, and names it only later; it makes a picture that is not fresh as new, and only
what has been old for days is removed here, looked at once more right before. What is left is a
submission that touches a picture between these two requests: its record ends as `image-missing`.
"""

from __future__ import annotations

import re
from collections.abc import Callable, Container, Iterator
from contextlib import suppress
from dataclasses import dataclass
from datetime import datetime, timedelta
from functools import partial
from itertools import islice
from typing import Literal

from pydantic import ValidationError

from regioncap import keys
from regioncap.errors import NewerFormatError, RegionCapError, UsageError
from regioncap.job import Job
from regioncap.jobs import catalogue
from regioncap.jobs.keyed import Taken
from regioncap.jobs.markers import BROKEN_OFF
from regioncap.parallel import map_ahead
from regioncap.services.store import Store, Stored

Kind = Literal["job", "broken-off", "marked", "pictures", "captions", "keys", "ends"]

#: No source is removed that is younger, whatever is asked for: the time between is what a
#: submission has to name a picture that it has found.
PICTURES_KEPT = timedelta(days=7)

#: Sources looked after at a time: each costs some 200 bytes of memory.
_LOT = 2_000_000

_SOURCE = re.compile(rb"images/[0-9a-f]{64}\.[a-z0-9]+")


@dataclass(frozen=True, slots=True)
class Rubbish:
    """Objects that can be removed together."""

    kind: Kind
    #: The job, or what all keys start with.
    name: str
    objects: int
    size_bytes: int
    #: When the job ended; None for what is no job's.
    since: datetime | None
    #: Removes them and returns how many there were. Raises StoreError; doing it again goes on.
    remove: Callable[[], int]


@dataclass(frozen=True, slots=True)
class Search:
    """What is looked for.

    Args:
        store: Where.
        now: The time.
        older_than: Age that all must have that is to go, but for jobs that are named.
        marked_only: Whether jobs keep everything but their marked pictures.
    """

    store: Store
    now: datetime
    older_than: timedelta
    marked_only: bool = False

    def run(self) -> Iterator[Rubbish]:
        """Finds one thing after the other; what is removed meanwhile counts as gone.

        Raises:
            StoreError: The store cannot be reached; nothing is found on half a look.
        """
        gone = set()
        for job in self._job_ids():
            found = self._of_job(job)
            if found is not None:
                gone.add(job)
                yield found
        if not self.marked_only:
            yield from self._pictures(gone)
            yield from self._captions()
            yield from self._keys()
            yield from self._ends(gone)

    def named(self, job: Job) -> Rubbish | None:
        """What there is of one job, whatever its age; none where nothing is left to remove.

        Raises:
            UsageError: It has not ended, or is being changed (`not-finished`).
            StoreError: The store cannot be reached.
        """
        ended = self._ended(job.job)
        if ended is None:
            raise UsageError(
                f"job {job.job} has not ended, or is being changed",
                code="not-finished",
                hint=f"regioncap status {job.job} tells; regioncap cancel {job.job} ends it",
            )
        return self._rubbish_of_job(job.job, ended)

    def _job_ids(self) -> list[str]:
        """All that is under `jobs/` and bears a job's name."""
        ids = []
        for prefix in self.store.list_keys(keys.JOBS, recursive=False):
            with suppress(UsageError):
                ids.append(keys.check_job_id(prefix.removeprefix(keys.JOBS).rstrip("/")))
        # Of a submission that broke off before its first part there is only the marker.
        marked = set(map(keys.opened, self.store.list_keys(keys.OPEN)))
        for job in sorted(marked - set(ids)):
            with suppress(UsageError):
                ids.append(keys.check_job_id(job))
        return ids

    def _of_job(self, job: str) -> Rubbish | None:
        if keys.submitted_at(job) > self._cutoff:
            return None
        if not self.store.exists(keys.job_key(job)):
            return self._broken_off(job)
        ended = self._ended(job)
        if ended is None or ended > self._cutoff:
            return None
        return self._rubbish_of_job(job, ended)

    def _ended(self, job: str) -> datetime | None:
        """When a job ended; None if it has not, or is being changed."""
        broken_off = self.now - BROKEN_OFF
        markers = self.store.list_stored(keys.open_key(job))
        if any(not marker.size_bytes or marker.modified > broken_off for marker in markers):
            return None
        ends = (keys.success_key(job), keys.cancelled_key(job))
        return max((time for time in map(self.store.modified, ends) if time), default=None)

    def _rubbish_of_job(self, job: str, ended: datetime) -> Rubbish | None:
        prefixes = [keys.prefix(job), keys.open_key(job), keys.end_key(job)]
        if self.marked_only:
            # Without its rendered part a shard that is to be retried is drawn again.
            kinds: list[Literal["rendered", "marked", "partial"]] = [
                "rendered",
                "marked",
                "partial",
            ]
            prefixes = [keys.prefix(job, each) for each in kinds]
        return self._rubbish("marked" if self.marked_only else "job", job, prefixes, ended)

    def _broken_off(self, job: str) -> Rubbish | None:
        """Parts and a marker without a job.json, unless they may still be coming in."""
        prefixes = [keys.prefix(job), keys.open_key(job)]
        newest = max(
            (each.modified for prefix in prefixes for each in self.store.list_stored(prefix)),
            default=None,
        )
        # Whatever is asked for: a submission that reads a large file has no job.json for hours.
        cutoff = min(self._cutoff, self.now - BROKEN_OFF)
        if self.marked_only or newest is None or newest > cutoff:
            return None
        return self._rubbish("broken-off", job, prefixes, newest)

    def _rubbish(
        self, kind: Kind, job: str, prefixes: list[str], since: datetime
    ) -> Rubbish | None:
        def stored() -> Iterator[Stored]:
            for prefix in prefixes:
                yield from self.store.list_stored(prefix)

        def found() -> Iterator[str]:
            # What is left of a job without it counts as broken off, and goes the next time.
            if kind == "job":
                # Before the job: whoever submits under its key is then not sent to what is gone.
                yield from self._key_of(job)
                yield keys.job_key(job)
            yield from (each.key for each in stored())

        sizes = [each.size_bytes for each in stored()]
        if not sizes:
            return None
        remove = partial(self._delete, found)
        return Rubbish(kind, job, len(sizes), sum(sizes), since, remove)

    def _key_of(self, job: str) -> Iterator[str]:
        """The object of the key that a job was submitted under, if it stands for it still."""
        with suppress(RegionCapError, ValidationError):
            if key := catalogue.load(self.store, job).key:
                name = keys.submission_key(key)
                text = self.store.find(name)
                if text is not None and Taken.model_validate_json(text).job == job:
                    yield name

    def _keys(self) -> Iterator[Rubbish]:
        """Keys of submissions that broke off and were never taken up again."""
        cutoff = min(self._cutoff, self.now - BROKEN_OFF)

        def old() -> Iterator[Stored]:
            for stored in self.store.list_stored(keys.SUBMISSIONS):
                text = self.store.find(stored.key) if stored.modified <= cutoff else None
                if text is not None and not self._is_of_a_job(text):
                    yield stored

        if found := list(old()):
            remove = partial(self._delete, lambda: iter([stored.key for stored in found]))
            size_bytes = sum(stored.size_bytes for stored in found)
            yield Rubbish("keys", keys.SUBMISSIONS, len(found), size_bytes, None, remove)

    def _is_of_a_job(self, text: bytes) -> bool:
        """Whether the job of a key is there; one that cannot be read is of none."""
        try:
            job = keys.check_job_id(Taken.model_validate_json(text).job)
        except (ValidationError, UsageError):
            return False
        except NewerFormatError:
            return True
        return self.store.exists(keys.job_key(job))

    def _pictures(self, gone: set[str]) -> Iterator[Rubbish]:
        """Sources that no remaining job names, in lots that memory can hold."""
        cutoff = min(self._cutoff, self.now - PICTURES_KEPT)
        old = (s for s in self.store.list_stored(keys.IMAGES) if s.modified <= cutoff)
        while lot := {stored.key: stored.size_bytes for stored in islice(old, _LOT)}:
            # Listed after the pictures: a job that came meanwhile is among them.
            for names in map_ahead(self._named_in, self._input_keys(gone)):
                for name in names:
                    lot.pop(name, None)
            if lot:
                remove = partial(self._delete_old, sorted(lot), cutoff)
                size_bytes = sum(lot.values())
                yield Rubbish("pictures", keys.IMAGES, len(lot), size_bytes, None, remove)

    def _delete_old(self, found: list[str], cutoff: datetime) -> int:
        def delete(key: str) -> bool:
            modified = self.store.modified(key)
            if modified is None or modified > cutoff:
                return False
            self.store.delete(key)
            return True

        return sum(map_ahead(delete, found))

    def _input_keys(self, gone: set[str]) -> Iterator[str]:
        for job in self._job_ids():
            if job not in gone:
                yield from self.store.list_keys(keys.prefix(job, "input"))

    def _named_in(self, key: str) -> set[str]:
        """Sources that an input part names; none if it has been removed meanwhile."""
        part = self.store.find(key) or b""
        return {name.decode() for name in _SOURCE.findall(part)}

    def _captions(self) -> Iterator[Rubbish]:
        return self._old("captions", keys.CAPTIONS, self._cutoff)

    def _ends(self, gone: Container[str]) -> Iterator[Rubbish]:
        """Those of jobs that stay; the others go with their jobs."""
        cutoff = min(self._cutoff, self.now - BROKEN_OFF)
        return self._old("ends", keys.ENDS, cutoff, lambda key: keys.ending(key) not in gone)

    def _old(
        self,
        kind: Kind,
        prefix: str,
        cutoff: datetime,
        is_meant: Callable[[str], bool] = lambda _: True,
    ) -> Iterator[Rubbish]:
        """What lies under a prefix since before then."""

        def old() -> Iterator[Stored]:
            found = self.store.list_stored(prefix)
            return (each for each in found if each.modified <= cutoff and is_meant(each.key))

        sizes = [stored.size_bytes for stored in old()]
        if sizes:
            remove = partial(self._delete, lambda: (stored.key for stored in old()))
            yield Rubbish(kind, prefix, len(sizes), sum(sizes), None, remove)

    def _delete(self, found: Callable[[], Iterator[str]]) -> int:
        return self.store.delete_all(found())

    @property
    def _cutoff(self) -> datetime:
        return self.now - self.older_than
