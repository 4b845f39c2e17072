"""Keys of submissions: whoever submits under the same key again gets the job that is there.

An object `keys/<hash of the key>.json`, which only one submission can create, names the job and the
hash of its content. It is written when all of the input is in the store, and before `job.json`: so
a submission that broke off before it has left nothing but parts, and one that broke off after it is
completed by the next.

The content of a job is its records, with the hashes of their pictures, and its settings. Pictures
that are read in place count by their address.
"""

from __future__ import annotations

import hashlib
import json
import threading
from collections.abc import Iterable, Iterator, Sequence
from contextlib import suppress
from itertools import zip_longest
from typing import Any

from pydantic import BaseModel, ValidationError

from regioncap import keys
from regioncap.errors import NotFoundError, StoreDeniedError, StoreError, UsageError
from regioncap.job import Job
from regioncap.jobs import catalogue, parts
from regioncap.plurals import counted
from regioncap.records import SCHEMA_VERSION, FormatVersion, InputRecord, dump_json
from regioncap.services.store import Store
from regioncap.settings import JobSettings

#: Longest key, characters.
_MAX_CHARS = 500
#: Looks at a key that others take meanwhile.
_LOOKS = 20
#: A value is shown as far as this, characters.
_SHOWN_CHARS = 60


class Taken(BaseModel):
    """Which job a key stands for."""

    schema_version: FormatVersion = SCHEMA_VERSION
    key: str
    job: str
    #: `Content.sha256` of its records.
    content_sha256: str


class Content:
    """What the records of a job are, shard by shard; whatever a version adds to their form.

    Thread-safe.

    Args:
        store: Pictures in it count by their names in it, wherever it lies.
    """

    def __init__(self, store: Store) -> None:
        self._own = store.uri("")
        self._shards: dict[int, str] = {}
        self._lock = threading.Lock()

    def add(self, shard: int, records: Iterable[InputRecord]) -> None:
        """Takes the records of a shard."""
        digest = hashlib.sha256()
        for record in records:
            digest.update(dump_json(self.fields(record)) + b"\n")
        with self._lock:
            self._shards[shard] = digest.hexdigest()

    def fields(self, record: InputRecord) -> dict[str, Any]:
        """What of a record is its content: all that is not as it is by default."""
        said = record.model_dump(exclude_defaults=True, exclude={"schema_version", "error"})
        if record.source is not None:
            said["source"] = record.source.removeprefix(self._own)
        if record.error is not None:  # its words may differ from version to version
            said["error"] = record.error.code
        return {name: said[name] for name in sorted(said)}

    @property
    def sha256(self) -> str:
        """Hash of all."""
        whole = "".join(self._shards[shard] for shard in sorted(self._shards))
        return hashlib.sha256(whole.encode()).hexdigest()


class Claim:
    """A submission under a key.

    Args:
        store: Where the job is to lie.
        key: The user's key.

    Raises:
        UsageError: It cannot be one, or what stands under it cannot be read (`bad-key`).
        StoreError: The store is away.
    """

    def __init__(self, store: Store, key: str) -> None:
        if not key.strip() or len(key) > _MAX_CHARS or not key.isprintable():
            raise UsageError(
                f"{key[:_SHOWN_CHARS]!r} cannot be a key",
                code="bad-key",
                hint=f"give up to {_MAX_CHARS} characters, such as nightly-2026-11-27",
            )
        self.key = key
        self._store = store
        self._name = keys.submission_key(key)
        self.content = Content(store)
        self._taken = self._find()
        #: The job that stands under the key; None if there is none yet.
        self.standing = None if self._taken is None else _load(store, self._taken.job)

    def check_asked(
        self, settings: JobSettings, prompt_template: str, region_schema: dict[str, Any] | None
    ) -> None:
        """Returns if the job that stands, if there is one, was asked for in the same way.

        Raises:
            UsageError: It was not (`key-taken`).
        """
        if self.standing is not None:
            now, then = settings.model_dump(), self.standing.settings.model_dump()
            now |= {"prompt template": prompt_template, "region schema": region_schema}
            then |= {
                "prompt template": self.standing.prompt_template,
                "region schema": self.standing.region_schema,
            }
            self._refuse(
                f"{name} is {_shown(now[name])}, and was {_shown(then[name])}"
                for name in now
                if now[name] != then[name]
            )

    def check_shard(self, shard: int, records: Sequence[InputRecord]) -> None:
        """Returns if the job that stands has these records in a shard.

        Raises:
            UsageError: It has others (`key-taken`).
        """
        job = self.standing
        assert job is not None  # noqa: S101 - for the type
        if shard >= job.shards:
            self._refuse([f"the input has more records than {job.records:,}, as it had"])
        before = parts.submitted(self._store, job, shard)
        for now, then in zip_longest(records, before):
            if now is None:
                self._refuse(
                    [f"the input has {counted(then.index, 'record')}, and had {job.records:,}"]
                )
            elif then is None:
                self._refuse([f"the input has more records than {job.records:,}, as it had"])
            else:
                self._refuse(self._changes(now, then))

    def check_end(self, records: int) -> None:
        """Returns if the job that stands has so many records; as `check_shard`."""
        assert self.standing is not None  # noqa: S101 - for the type
        if records != self.standing.records:
            self._refuse(
                [f"the input has {counted(records, 'record')}, and had {self.standing.records:,}"]
            )

    def _changes(self, now: InputRecord, then: InputRecord) -> Iterator[str]:
        """What of a record is another than it was."""
        new, old = self.content.fields(now), self.content.fields(then)
        for name in sorted(new.keys() | old.keys()):
            is_said, was_said = new.get(name), old.get(name)
            if dump_json(is_said) == dump_json(was_said):
                continue
            where = f"record {now.index:,} (line {now.line:,})"
            if name == "source" and is_said and was_said:
                yield f"{where} has another picture"
            else:
                yield f"{where}: {name} is {_shown(is_said)}, and was {_shown(was_said)}"

    def take(self, job: Job) -> Job:
        """Makes a job the key's own; returns the one that stands under it.

        That is another one if somebody was quicker, with the same content.

        Args:
            job: A job whose parts are all in the store, and whose job.json is not.

        Raises:
            UsageError: Another was quicker, with other content (`key-taken`).
            StoreError: The store is away, or others take the key all the time.
        """
        own = Taken(key=self.key, job=job.job, content_sha256=self.content.sha256)
        for _ in range(_LOOKS):
            if self._taken is None:
                self._store.put_new(self._name, dump_json(own), "application/json")
                self._taken = self._find()
            elif self._taken.job == job.job:
                return self._save(job)
            else:
                try:
                    return self._join(job, self._taken.job)
                finally:
                    self._drop(job)
        raise StoreError(f"the key {self.key!r} is being taken by others", hint="try again")

    def _join(self, own: Job, job_id: str) -> Job:
        """The job that was quicker; one that broke off is completed with what we have."""
        standing = _load(self._store, job_id)
        if standing is not None:
            self.standing = standing
            self.check_asked(own.settings, own.prompt_template, own.region_schema)
        if self._taken is None or self._taken.content_sha256 != self.content.sha256:
            self._refuse(["the input is another"])
        if standing is not None:
            return standing
        # First the marker, that nobody takes the parts for rubbish.
        self._store.put(keys.open_key(job_id), b"")
        for shard in range(own.shards):
            part = self._store.get(keys.part_key(own.job, "input", shard))
            self._store.put(keys.part_key(job_id, "input", shard), part, "application/x-ndjson")
        return self._save(own.model_copy(update={"job": job_id}))

    def _save(self, job: Job) -> Job:
        """Writes job.json, or finds that somebody has done so."""
        catalogue.save(self._store, job, is_new=True)
        return catalogue.load(self._store, job.job)

    def _drop(self, job: Job) -> None:
        """Removes parts that are not needed; who may not leaves them for `regioncap gc`."""
        with suppress(StoreDeniedError):
            self._store.delete_all(self._store.list_keys(keys.prefix(job.job, "input")))

    def _find(self) -> Taken | None:
        text = self._store.find(self._name)
        try:
            return None if text is None else Taken.model_validate_json(text)
        except ValidationError as error:
            raise UsageError(
                f"{self._name}, the object of the key {self.key!r}, cannot be read",
                code="bad-key",
                hint="give another key, or remove the object: its job stays",
            ) from error

    def _refuse(self, differences: Iterable[str]) -> None:
        found = list(differences)
        if found:
            assert self._taken is not None  # noqa: S101 - for the type
            raise UsageError(
                f"the key {self.key!r} is that of job {self._taken.job}, which is another:"
                f" {'; '.join(found)}",
                code="key-taken",
                hint="submit what was submitted then, or give another key",
            )


def _load(store: Store, job_id: str) -> Job | None:
    try:
        return catalogue.load(store, job_id)
    except NotFoundError:
        return None


def _shown(value: object) -> str:
    text = json.dumps(value, ensure_ascii=False)
    return text if len(text) <= _SHOWN_CHARS else text[: _SHOWN_CHARS - 1] + "…"
