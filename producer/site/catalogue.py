"""Jobs and how far they are, kept for seconds so that many viewers cost the store little."""

from __future__ import annotations

import json
import threading
import time
from collections import OrderedDict
from collections.abc import Callable, Hashable, Iterable
from typing import Generic, NamedTuple, TypeVar

import redis

from producer.site.window import Reasons, why_failed
from regioncap import keys
from regioncap.client import Client
from regioncap.errors import NotFoundError, QueueError, RegionCapError, ServiceError, StoreError
from regioncap.job import STATUSES, Job
from regioncap.jobs import catalogue, picks
from regioncap.jobs.status import JobStatus, job_status
from regioncap.parallel import map_ahead
from regioncap.services.broker import queue_errors

#: Jobs on a page.
PAGE_JOBS = 50
#: Longest time in which names of jobs are looked through.
_SEARCH_S = 3.0
#: A larger `_SUCCESS` is not read for where records failed: they are found by looking.
_MOST_SUCCESS_BYTES = 64_000_000

K = TypeVar("K", bound=Hashable)
V = TypeVar("V")


class JobRow(NamedTuple):
    """A job in the list, or why it cannot be shown."""

    id: str
    job: Job | None = None
    status: JobStatus | None = None
    problem: str = ""


class JobsPage(NamedTuple):
    """Some jobs, the newest first."""

    rows: list[JobRow]
    #: How many jobs there are of the kind asked for; None where they were looked for by text.
    total: int | None
    #: The id to go on after; None at the end.
    rest: str | None


class Kept(Generic[K, V]):
    """What a function returned, for some seconds; what was not asked for longest goes first.

    Args:
        make: The function.
        for_s: How long a value is taken as it is; or says it of a value.
        most: Values kept.
    """

    def __init__(
        self, make: Callable[[K], V], for_s: float | Callable[[V], float], most: int
    ) -> None:
        self._make = make
        self._for_s = for_s
        self._most = most
        #: With the time until which each is taken.
        self._values: OrderedDict[K, tuple[float, V]] = OrderedDict()
        self._lock = threading.Lock()

    def __call__(self, key: K) -> V:
        """The value for a key, as old as it may be."""
        with self._lock:
            if key in self._values and time.monotonic() < self._values[key][0]:
                self._values.move_to_end(key)
                return self._values[key][1]
        fresh = self._make(key)
        for_s = self._for_s(fresh) if callable(self._for_s) else self._for_s
        with self._lock:
            self._values[key] = (time.monotonic() + for_s, fresh)
            self._values.move_to_end(key)
            while len(self._values) > self._most:
                self._values.popitem(last=False)
        return fresh

    def forget(self, key: K) -> None:
        """Has a value made anew when it is asked for."""
        with self._lock:
            self._values.pop(key, None)


def _status_s(status: JobStatus) -> float:
    return 20.0 if status.ended else 2.0


class Jobs:
    """The jobs of a store.

    Args:
        client: Reaches the store, and Redis if there is one.
    """

    def __init__(self, client: Client) -> None:
        self._client = client
        self._store = client.store
        #: A job never changes, but may be removed: whoever asks how far it is hears of it.
        self.job: Kept[str, Job] = Kept(self._load, 3600.0, 2000)
        #: How far a job is; a retry goes on with one that has ended.
        self.status: Kept[str, JobStatus] = Kept(self._look, _status_s, 2000)
        self._ids: Kept[bool, list[str]] = Kept(self._list, 3.0, 2)
        #: Ids that the store lists and of which it holds nothing any more.
        self._gone: set[str] = set()
        self._redis: Kept[None, redis.Redis | None]
        self._redis = Kept(lambda _: self._reach_redis(), 10.0, 1)
        self._done = Kept(self._list_done, 3.0, 8)
        self._failing = Kept(self._find_failing, 20.0, 8)
        self._reasons = Kept(self._gather, 20.0, 32)

    def page(self, *, after: str = "", only_open: bool = False, text: str = "") -> JobsPage:
        """Some jobs, the newest first.

        Args:
            after: The last id of the page before.
            only_open: Whether to leave out those that have ended.
            text: Words that stand in the name, the source, the labels or the id.
        """
        until = time.monotonic() + _SEARCH_S
        if not text:
            return self._newest(after, only_open=only_open, until=until)
        ids = self._after(after, only_open=only_open)
        words = text.lower().split()
        found: list[str] = []
        rest, last = None, after
        for job_id, said in map_ahead(self._said, ids):
            if len(found) == PAGE_JOBS or time.monotonic() > until:
                rest = last
                break
            last = job_id
            if all(word in said for word in words):
                found.append(job_id)
        return JobsPage(self._rows(found), None, rest)

    def done_shards(self, status: JobStatus) -> Iterable[int]:
        """The shards of a job that have results, in order."""
        return range(status.shards) if status.state == "done" else self._done(status.job)

    def failing_shards(self, status: JobStatus) -> Iterable[int]:
        """The shards in which a record failed or a region has no caption; too many at worst."""
        known = self._failing((status.job, status.failed, status.regions, status.regions_ok))
        return self.done_shards(status) if known is None else known

    def reasons(self, status: JobStatus) -> Reasons:
        """Why records failed."""
        return self._reasons((status.job, status.failed, status.regions, status.regions_ok))

    def _newest(self, after: str, *, only_open: bool, until: float) -> JobsPage:
        """A full page, whatever of the ids turns out to be gone, unless that takes too long."""
        while True:
            ids = self._after(after, only_open=only_open)
            shown = ids[:PAGE_JOBS]
            rows = self._rows(shown)
            if len(rows) == len(shown) or time.monotonic() > until:
                total = len(self._after("", only_open=only_open))
                return JobsPage(rows, total, shown[-1] if len(ids) > PAGE_JOBS else None)

    def _after(self, after: str, *, only_open: bool) -> list[str]:
        """The ids after one, or all; without those that are known to be gone."""
        ids = self._ids(only_open)
        return [each for each in ids if each not in self._gone and (not after or each < after)]

    def _rows(self, ids: list[str]) -> list[JobRow]:
        return [row for row in map_ahead(self._row, ids) if row is not None]

    def _row(self, job_id: str) -> JobRow | None:
        """A job as it is shown; None if nothing is left of it."""
        try:
            return JobRow(job_id, self.job(job_id), self.status(job_id))
        except NotFoundError:
            if catalogue.is_gone(self._store, job_id):
                self._gone.add(job_id)
                return None
            return JobRow(job_id, problem="is being submitted, or its submission broke off")
        except ServiceError:
            raise
        except RegionCapError as error:
            return JobRow(job_id, problem=error.message)

    def _said(self, job_id: str) -> tuple[str, str]:
        try:
            job = self.job(job_id)
        except ServiceError:
            raise
        except RegionCapError:
            return job_id, job_id
        labels = " ".join(f"{key}={value}" for key, value in job.labels.items())
        return job_id, f"{job_id}\n{job.name}\n{job.source}\n{labels}".lower()

    def _list(self, only_open: bool) -> list[str]:
        try:
            if not only_open:
                found = catalogue.find_ids(self._store)
                self._gone.intersection_update(found)
                return found
            ids = catalogue.open_ids(self._store)
        except StoreError as error:
            if error.code != "no-bucket":  # which the first job makes
                raise
            return []
        return sorted(filter(keys.is_job_id, ids), reverse=True)

    def _load(self, job_id: str) -> Job:
        return catalogue.load(self._store, job_id)

    def _look(self, job_id: str) -> JobStatus:
        status = job_status(self._store, self._redis(None), self.job(job_id))
        if not status.ended and not self._store.exists(keys.job_key(job_id)):
            # One that was removed has no end either, and would look like one that waits.
            self.job.forget(job_id)
            self.job(job_id)
        return status

    def _reach_redis(self) -> redis.Redis | None:
        """Redis if it answers: without it, the store alone tells how far jobs are."""
        try:
            with queue_errors():
                self._client.redis.ping()
        except QueueError:
            return None
        return self._client.redis

    def _list_done(self, job_id: str) -> list[int]:
        return sorted(catalogue.parts(self._store, job_id, "results"))

    def _find_failing(self, of: tuple[str, int, int, int]) -> list[int] | None:
        """The failing shards as `_SUCCESS` names them; None where it does not, or not yet."""
        job_id, *_ = of
        try:
            key = keys.success_key(job_id)
            text = self._store.get(key, limit_bytes=_MOST_SUCCESS_BYTES)
        except NotFoundError:
            return None
        if len(text) > _MOST_SUCCESS_BYTES:
            return None
        bad = ["failed", *(f"regions_{status}" for status in STATUSES if status not in picks.FINE)]
        numbers = (
            keys.part_number(part["key"], job_id, "results")
            for part in json.loads(text)["parts"]
            if any(part.get(name) for name in bad)
        )
        return sorted(number for number in numbers if number is not None)

    def _gather(self, of: tuple[str, int, int, int]) -> Reasons:
        status = self.status(of[0])
        return why_failed(self._store, self.job(of[0]), self.failing_shards(status))
