"""Answers about a shard that came to no end: kept for whoever does the shard next.

    jobs/<job>/partial/part-00042.<token>.jsonl    the records that are answered, a line each

Written when a worker has to stop, when its engine dies or the shard fails, and now and then while
the shard takes long, as a worker that is killed can write nothing. They are taken over by the next
turn at the same shard, whatever the job says of reuse, if all that they depend on is the same; and
removed with the end of the shard. A retry takes over what it was answered itself, and nothing that
was there before it.
"""

from __future__ import annotations

import hashlib
from collections.abc import Callable, Iterable, Mapping, Sequence
from contextlib import suppress

from pydantic import BaseModel, ValidationError

from regioncap import keys
from regioncap.captions import degenerate
from regioncap.captions.conversation import Captioned
from regioncap.errors import StoreError
from regioncap.jobs.retry import Again
from regioncap.parallel import REAL, Runtime
from regioncap.records import EngineAnswer, Region, RenderedRecord, dump_lines
from regioncap.services.store import Store

#: For so long a list of a job's answers is good for shards that nobody has begun, seconds.
_FRESH_S = 10.0


class _Answered(BaseModel):
    """A record that the engine has answered."""

    index: int
    #: What names all that the answer depends on, see `regioncap.jobs.reuse`.
    fingerprint: str
    #: What asked: the job, or a retry of its.
    asked_by: str
    answers: list[EngineAnswer]
    finish_reason: str | None
    regions: list[Region]
    image_caption: str | None
    prompt_tokens: int
    completion_tokens: int
    requests: int
    gpu_ms: int


class Partials:
    """The answers that are kept of all shards; for many threads.

    Where the queue knows of no go at a shard before, there are none, unless Redis has lost its
    data: a list of its job's that is some seconds old tells as much then, and spares each shard a
    request. Who sends anew what Redis has lost waits longer.

    Args:
        store: Where they lie.
        runtime: The clock.
    """

    def __init__(self, store: Store, runtime: Runtime = REAL) -> None:
        self._store = store
        self._clock = runtime.monotonic
        self._lock = runtime.lock()
        #: Keys of the last jobs' answers, and when they were listed.
        self._listed: dict[str, tuple[float, list[str]]] = {}

    def of(self, job_id: str, shard: int, *, is_first: bool = False) -> Partial:
        """Those of a shard.

        Args:
            job_id: The job.
            shard: The shard.
            is_first: Whether the queue knows of no go at it before.
        """
        prefix = keys.prefix(job_id, "partial") + keys.part_name(shard, "")

        def find() -> list[str]:
            if is_first:
                return [key for key in self._of_job(job_id) if key.startswith(prefix)]
            return list(self._store.list_keys(prefix))

        return Partial(self._store, keys.partial_key(job_id, shard, keys.new_token()), find)

    def _of_job(self, job_id: str) -> list[str]:
        with self._lock:
            now_s = self._clock()
            fresh = {job: each for job, each in self._listed.items() if now_s - each[0] < _FRESH_S}
            if job_id not in fresh:
                found = list(self._store.list_keys(keys.prefix(job_id, "partial")))
                fresh[job_id] = (now_s, found)
            self._listed = fresh
            return fresh[job_id][1]


class Partial:
    """What is known of one shard's answers in one turn at it; for one thread, but for `add`.

    Args:
        store: Where they lie.
        key: Where those of this turn are kept.
        listed: Finds the keys of those before it.
    """

    def __init__(self, store: Store, key: str, listed: Callable[[], Iterable[str]]) -> None:
        self._store = store
        self._key = key
        self._listed = listed
        self._names: Mapping[int, str] = {}
        self._asked_by = ""
        #: Answers of this turn and of those before it.
        self._done: list[Captioned] = []
        self._written = 0
        self._keys: set[str] = set()
        self._is_listed = False
        self._is_over = False

    def find(
        self, records: Sequence[RenderedRecord], names: Mapping[int, str], again: Again | None
    ) -> dict[int, Captioned]:
        """Takes over what earlier turns were answered.

        Args:
            records: The records that are to be captioned.
            names: Their fingerprints, by index; one without is asked about.
            again: The retry that wants it, if it is one.

        Returns:
            By index, what is known.
        """
        self._names, self._asked_by = names, _name(again)
        wanted = {record.index: record for record in records if record.index in names}
        found: dict[int, Captioned] = {}
        for key in self._earlier():
            for line in (self._store.find(key) or b"").splitlines():
                with suppress(ValidationError):  # of another version
                    told = _Answered.model_validate_json(line)
                    record = wanted.get(told.index)
                    if record is not None and self._is_same(told):
                        found.setdefault(told.index, _captioned(record, told))
        self._done += found.values()
        self._written = len(self._done)
        return found

    def add(self, captioned: Captioned) -> None:
        """Notes a record that is answered; for any thread."""
        self._done.append(captioned)

    def keep(self) -> None:
        """Writes down what is new; where the store is away, it is asked again."""
        count = len(self._done)
        lines = [self._line(each) for each in self._done[:count] if self._is_of_use(each)]
        if self._is_over or count == self._written or not lines:
            return
        if degenerate.same_words(self._done[:count]):
            return  # the engine may be unwell
        with suppress(StoreError):
            self._store.put(self._key, dump_lines(lines), "application/x-ndjson")
            self._keys.add(self._key)
            self._written = count

    def drop(self) -> None:
        """Removes it all: the shard is done, or its answers are worth nothing.

        Where nobody has looked what there is, the shard was found done: whoever did it may have
        died before it removed anything.
        """
        self._is_over = True
        with suppress(StoreError):
            if not self._is_listed:
                self._earlier()
            self._store.delete_all(sorted(self._keys))
            self._keys.clear()

    def _earlier(self) -> list[str]:
        """Keys of the answers of turns before this one."""
        found = list(self._listed())
        self._keys.update(found)
        self._is_listed = True
        return found

    def _is_same(self, told: _Answered) -> bool:
        return (told.fingerprint, told.asked_by) == (self._names[told.index], self._asked_by)

    def _is_of_use(self, captioned: Captioned) -> bool:
        record = captioned.record
        is_answered = record.error is None and degenerate.has_words(captioned)
        return is_answered and captioned.failure is None and record.index in self._names

    def _line(self, captioned: Captioned) -> _Answered:
        record = captioned.record
        return _Answered(
            index=record.index,
            fingerprint=self._names[record.index],
            asked_by=self._asked_by,
            answers=captioned.answers,
            finish_reason=captioned.finish_reason,
            regions=record.regions,
            image_caption=record.image_caption,
            prompt_tokens=captioned.prompt_tokens,
            completion_tokens=captioned.completion_tokens,
            requests=captioned.requests,
            gpu_ms=captioned.gpu_ms,
        )


def _captioned(record: RenderedRecord, told: _Answered) -> Captioned:
    same = record.model_copy(update={"regions": told.regions, "image_caption": told.image_caption})
    return Captioned(
        same,
        answers=told.answers,
        finish_reason=told.finish_reason,
        prompt_tokens=told.prompt_tokens,
        completion_tokens=told.completion_tokens,
        requests=told.requests,
        gpu_ms=told.gpu_ms,
    )


def _name(again: Again | None) -> str:
    """Tells retries apart; those before tokens all had one key."""
    if again is None:
        return ""
    said = str([sorted(again.keys), sorted(again.indices), sorted(again.flagged)])
    return hashlib.sha256(said.encode()).hexdigest()
