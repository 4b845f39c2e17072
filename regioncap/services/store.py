"""The object store: small objects in one bucket of any S3 server, through minio-py."""

from __future__ import annotations

import io
from collections.abc import Iterable
from datetime import datetime
from itertools import islice
from pathlib import Path
from typing import BinaryIO, NamedTuple, TypeAlias
from urllib.parse import urlsplit

import structlog
from minio.commonconfig import REPLACE, CopySource
from minio.datatypes import Object
from minio.deleteobjects import DeleteError, DeleteObject
from minio.error import S3Error

from regioncap.errors import NotFoundError, StoreError, UsageError
from regioncap.services.bucket import CONFLICT_PAUSES_S, Bucket, Stored, bare
from regioncap.services.refusals import CONFLICTS, MISSING, UNKNOWN
from regioncap.settings import Settings

__all__ = ["Conditions", "Found", "Store", "Stored", "parse_s3_uri"]

Headers: TypeAlias = dict[str, str | list[str] | tuple[str]]

_BINARY = "application/octet-stream"
#: Longest key that S3 allows.
_MAX_KEY_BYTES = 1024
#: What a store says to a conditional write that it does not do: the object is another, or gone.
_UNMET = {"PreconditionFailed", "NoSuchKey"}
_PIECE_BYTES = 1 << 20
#: Most that one request may remove.
_MOST_DELETED = 1000

_log = structlog.get_logger("regioncap")


class Found(NamedTuple):
    """An object as it was read."""

    data: bytes
    #: Names these bytes; see `Store.put_matching`.
    etag: str


class Conditions(NamedTuple):
    """Whether a store holds to conditions of writes; None if that could not be found out."""

    #: If-None-Match: that the first write of an object wins.
    new: bool | None
    #: If-Match: that only what was read is replaced.
    matching: bool | None


class _Condition(NamedTuple):
    header: str
    value: str


def _create() -> _Condition:
    return _Condition("If-None-Match", "*")


def _replace(etag: str) -> _Condition:
    return _Condition("If-Match", f'"{etag}"')


class Store(Bucket):
    """The objects of one bucket, or of one folder of it; arguments as of `Bucket`.

    Thread-safe, but not across a fork: make it after forking. Each call is retried a few times by
    the HTTP client on lost connections and 5xx answers; after that it is a StoreError.
    """

    def __init__(self, settings: Settings, *, attempts: int = 4) -> None:
        super().__init__(settings, attempts=attempts)
        #: Conditions of writes that are known to be held to, or not to be.
        self._holds: dict[str, bool] = {}
        #: Those that it refuses to hear of.
        self._unknown: frozenset[str] = frozenset()
        self._deletes_many = True

    def put(self, key: str, data: bytes, content_type: str = _BINARY) -> None:
        """Writes an object whole; readers see the old one or the new one, nothing between."""
        self._call(
            key,
            lambda: self._client.put_object(
                self.bucket, self._name(key), io.BytesIO(data), len(data), content_type=content_type
            ),
        )

    def put_new(
        self, key: str, data: bytes, content_type: str = _BINARY, *, lasting: bool = True
    ) -> str | None:
        """Writes an object unless there is another; its ETag if it stands now, else None.

        In a store that does not hold to conditions, another that comes at the same moment may be
        replaced: it looks first, and then writes.

        Args:
            key: Its name.
            data: What is to stand there.
            content_type: Of the data.
            lasting: Whether nobody removes it soon: with such a one it is found out once whether
                the store holds to conditions, by writing it twice.

        Raises:
            StoreError: The store is away, or others write or remove the object meanwhile.
        """
        return self._put_on(key, data, content_type, None, lasting=lasting)

    def put_matching(
        self, key: str, data: bytes, etag: str, content_type: str = _BINARY
    ) -> str | None:
        """Replaces an object if it still is what was read; as `put_new`.

        Args:
            key: Its name.
            data: What is to stand there.
            etag: Of what was read, by `find_tagged`.
            content_type: Of the data.
        """
        return self._put_on(key, data, content_type, etag)

    def conditions(self, key: str, data: bytes) -> Conditions:
        """Which conditions of writes the store holds to, tried on an object.

        Args:
            key: An object that nobody else writes.
            data: What stands there.
        """
        for condition in (_create(), _replace("0" * 32)):
            self._learn(condition, key, data, _BINARY)
        return Conditions(self._holds.get(_create().header), self._holds.get(_replace("").header))

    def _put_on(
        self,
        key: str,
        data: bytes,
        content_type: str,
        expected: str | None,
        *,
        lasting: bool = True,
    ) -> str | None:
        """Writes an object if what is there is as expected: of this ETag, or nothing."""
        condition = _create() if expected is None else _replace(expected)
        for pause_s in (*CONFLICT_PAUSES_S, None):
            # Where the condition is not sure to be held to, a look stands in for it.
            if self._holds.get(condition.header) or self._etag(key) == expected:
                etag = self._call(key, lambda: self._put_if(condition, key, data, content_type))
                if etag is not None:
                    if lasting and etag != expected:
                        self._learn(condition, key, data, content_type)
                    return etag
            # An attempt may have been done although its answer was lost: the next finds its own
            # object.
            there = self.find_tagged(key)
            if there is None and expected is not None:
                return None
            if there is not None and there.etag != expected:
                return there.etag if there.data == data else None
            if pause_s is not None:  # others are at it, and nothing stands yet
                self._sleep(pause_s)
        raise self._refused(key, "ConditionalRequestConflict")

    def _put_if(
        self, condition: _Condition, key: str, data: bytes, content_type: str
    ) -> str | None:
        """The ETag of what was written, or None if the store refused."""
        headers: Headers = {"Content-Type": content_type}
        where = self.bucket, self._name(key), data
        if condition.header not in self._unknown:
            try:
                # minio-py has no public way to send the header.
                done = self._client._put_object(
                    *where, {**headers, condition.header: condition.value}
                )
            except S3Error as error:
                if error.code in _UNMET | CONFLICTS:
                    return None
                if error.code not in UNKNOWN:
                    raise
                self._unknown = self._unknown | {condition.header}
                self._note(condition, holds=False)
            else:
                return bare(done.etag)
        return bare(self._client._put_object(*where, headers).etag)

    def _learn(self, condition: _Condition, key: str, data: bytes, content_type: str) -> None:
        """Finds out whether the store holds to a condition that is not met now.

        What it would replace are the same bytes.
        """
        if condition.header in self._holds:
            return
        try:
            with self._errors(key):
                holds = self._is_refused(condition, key, data, content_type)
        except (StoreError, NotFoundError):
            return  # it is found out another time
        self._note(condition, holds=holds)

    def _is_refused(self, condition: _Condition, key: str, data: bytes, content_type: str) -> bool:
        """Whether a write is refused because its condition is not met."""
        headers: Headers = {"Content-Type": content_type, condition.header: condition.value}
        try:
            self._client._put_object(self.bucket, self._name(key), data, headers)
        except S3Error as error:
            if error.code in _UNMET:
                return True
            if error.code not in UNKNOWN:
                raise
        return False

    def _note(self, condition: _Condition, *, holds: bool) -> None:
        self._holds = {**self._holds, condition.header: holds}
        if not holds:
            _log.warning(
                "the store does not hold to a condition of writes: that the first one wins is not"
                " sure",
                condition=condition.header,
            )

    def _etag(self, key: str) -> str | None:
        """The ETag of an object; None if there is none."""
        found = self._stat(key)
        return None if found is None else bare(found.etag)

    def get(self, key: str, *, limit_bytes: int | None = None) -> bytes:
        """Reads an object.

        Args:
            key: Its name.
            limit_bytes: Stops reading after this many bytes; more than that many come back only
                if the object is larger.

        Raises:
            NotFoundError: There is none.
            StoreError: The store cannot be reached.
        """
        return self._read(self.bucket, self._name(key), limit_bytes).data

    def get_uri(self, uri: str, *, limit_bytes: int | None = None) -> bytes:
        """Reads an object of any bucket by its s3:// name, as `get`.

        Raises:
            ValueError: It is no such name.
        """
        return self._read(*parse_s3_uri(uri), limit_bytes).data

    def download(self, uri: str, path: Path) -> None:
        """Writes an object of any bucket into a file, a piece at a time.

        Raises:
            NotFoundError: There is none.
            UsageError: There is no room for it (`no-output`).
            OSError: There can be no such file.
        """
        bucket, name = parse_s3_uri(uri)
        with path.open("wb") as file:

            def read() -> None:
                file.seek(0)
                response = self._client.get_object(bucket, name)
                try:
                    for piece in response.stream(_PIECE_BYTES):
                        _write(file, piece, path)
                finally:
                    response.close()
                    response.release_conn()

            self._call(name, read, bucket=bucket)

    def _read(self, bucket: str, name: str, limit_bytes: int | None = None) -> Found:
        def read() -> Found:
            try:
                response = self._client.get_object(
                    bucket, name, length=limit_bytes + 1 if limit_bytes else 0
                )
            except S3Error as error:
                if error.code == "InvalidRange":  # no part of an empty object can be asked for
                    return Found(b"", "")
                raise
            try:
                return Found(bytes(response.read()), bare(response.headers.get("ETag")))
            finally:
                response.close()
                response.release_conn()

        return self._call(name, read, bucket=bucket)

    def find(self, key: str) -> bytes | None:
        """Reads an object, or None if there is none."""
        found = self.find_tagged(key)
        return None if found is None else found.data

    def find_tagged(self, key: str) -> Found | None:
        """Reads an object with its ETag, or None if there is none."""
        try:
            return self._read(self.bucket, self._name(key))
        except NotFoundError:
            return None

    def exists(self, key: str) -> bool:
        """Whether there is such an object."""
        return self.modified(key) is not None

    def modified(self, key: str) -> datetime | None:
        """When an object was last written, in UTC, to the second; None if there is none."""
        found = self._stat(key)
        return None if found is None else found.last_modified

    def _stat(self, key: str) -> Object | None:
        try:
            return self._call(key, lambda: self._client.stat_object(self.bucket, self._name(key)))
        except NotFoundError:
            return None
        except StoreError:
            # An answer to HEAD has no text that would tell why. The store may serve again by now.
            try:
                self._read(self.bucket, self._name(key), 1)
            except NotFoundError:
                return None
            raise

    def touch(self, key: str) -> None:
        """Makes an object as new, without sending it again.

        Raises:
            NotFoundError: There is none.
        """
        name = self._name(key)
        source = CopySource(self.bucket, name)
        self._call(
            key,
            lambda: self._client.copy_object(self.bucket, name, source, metadata_directive=REPLACE),
        )

    def delete(self, key: str) -> None:
        """Removes an object; one that is not there is fine."""
        self._call(key, lambda: self._client.remove_object(self.bucket, self._name(key)))

    def delete_all(self, keys: Iterable[str]) -> int:
        """Removes objects, a thousand a request; returns how many there were to remove.

        A store that does not know such requests is asked to remove one by one.

        Raises:
            StoreError: One of them cannot be removed; those before it are gone.
        """
        names, count = iter(keys), 0
        while batch := list(islice(names, _MOST_DELETED)):
            if self._deletes_many:
                self._delete_many(batch)
            if not self._deletes_many:
                for key in batch:
                    self.delete(key)
            count += len(batch)
        return count

    def _delete_many(self, batch: list[str]) -> None:
        def delete() -> list[DeleteError]:
            objects = [DeleteObject(self._name(key)) for key in batch]
            try:
                return list(self._client.remove_objects(self.bucket, objects))
            except S3Error as error:
                if error.code not in UNKNOWN:
                    raise
                self._deletes_many = False
                return []

        for error in self._call(batch[0], delete):
            if error.code not in MISSING:
                raise self._refused(error.name or "", error.code)


def _write(file: BinaryIO, piece: bytes, path: Path) -> None:
    try:
        file.write(piece)
    except OSError as error:  # which is no lost connection
        raise UsageError(
            f"{path} cannot be written: {error.strerror}",
            code="no-output",
            hint="TMPDIR names another folder for what is brought here",
        ) from error


def parse_s3_uri(uri: str) -> tuple[str, str]:
    """Bucket and key of an `s3://bucket/key` name.

    Raises:
        ValueError: It is none.
    """
    parts = urlsplit(uri)
    key = uri.removeprefix(f"s3://{parts.netloc}/")
    if parts.scheme != "s3" or not parts.netloc or not key or key == uri:
        raise ValueError(f"not of the form s3://bucket/key: {uri!r}")
    if len(key.encode("utf-8", "replace")) > _MAX_KEY_BYTES or not key.isprintable():
        raise ValueError(f"the key is too long or holds control characters: {uri[:200]!r}")
    if {".", ".."} & set(key.split("/")):
        # The client would refuse it as it refuses a store that is away: no end of trying.
        raise ValueError(f"the key has a segment '.' or '..': {uri!r}")
    return parts.netloc, key
