"""The object store: small objects in one bucket of any S3 server, through minio-py."""

from __future__ import annotations

import io
import os
import socket
from collections.abc import Callable, Iterable, Iterator
from contextlib import contextmanager
from datetime import datetime
from itertools import islice
from typing import Any, BinaryIO, NamedTuple, Self, TypeVar
from urllib.parse import urlsplit

import urllib3
from minio import Minio
from minio.commonconfig import REPLACE, CopySource
from minio.datatypes import Object
from minio.deleteobjects import DeleteObject
from minio.error import MinioException, S3Error

from regioncap import metrics
from regioncap.errors import NotFoundError, StoreError, UsageError
from regioncap.settings import Settings

T = TypeVar("T")

_BINARY = "application/octet-stream"
#: Longest key that S3 allows.
_MAX_KEY_BYTES = 1024
_MISSING = {"NoSuchKey", "NoSuchBucket", "NoSuchObject", "NotFound", "ResourceNotFound"}
#: What a store says to a conditional write that it does not do: the object is another, another
#: write of it is under way, or it is gone.
_UNMET = {"PreconditionFailed", "ConditionalRequestConflict", "NoSuchKey"}
#: Connections kept open at a time.
_CONNECTIONS = 16
#: Longest wait for something to listen at the endpoint.
_REACH_S = 3.0
#: Most that one request may remove.
_MOST_DELETED = 1000
_DENIED = {"AccessDenied", "InvalidAccessKeyId", "SignatureDoesNotMatch"}


class Stored(NamedTuple):
    """One object of a listing."""

    key: str
    size_bytes: int
    modified: datetime
    #: As in `Found`.
    etag: str = ""


class Found(NamedTuple):
    """An object as it was read."""

    data: bytes
    #: Names these bytes; see `Store.put_matching`.
    etag: str


class Store:
    """One bucket.

    Thread-safe, but not across a fork: make it after forking. Each call is retried a few times by
    the HTTP client on lost connections and 5xx answers; after that it is a StoreError.

    Args:
        settings: Endpoint, credentials and bucket.
        attempts: Tries of one request before it counts as failed.
    """

    def __init__(self, settings: Settings, *, attempts: int = 4) -> None:
        if "://" in settings.s3_endpoint:
            raise UsageError(
                f"s3_endpoint: {settings.s3_endpoint!r} is a URL",
                code="bad-settings",
                hint="give host:port, and s3_secure=true for TLS",
            )
        self.bucket = settings.s3_bucket
        self.endpoint = settings.s3_endpoint
        self._secure = settings.s3_secure
        self._client = Minio(
            settings.s3_endpoint,
            access_key=settings.s3_access_key or None,
            secret_key=settings.s3_secret_key.get_secret_value() or None,
            secure=settings.s3_secure,
            region=settings.s3_region,
            http_client=_http_client(attempts, settings.s3_secure),
        )

    def reach(self) -> None:
        """Returns if something listens at the endpoint; much sooner than a request gives up.

        Raises:
            StoreError: Nothing does.
        """
        parts = urlsplit(f"//{self.endpoint}")
        port = parts.port or (443 if self._secure else 80)
        with self._errors(""):
            socket.create_connection((parts.hostname or "", port), _REACH_S).close()

    def uri(self, key: str) -> str:
        """The s3:// name of an object in this bucket."""
        return f"s3://{self.bucket}/{key}"

    def put(self, key: str, data: bytes, content_type: str = _BINARY) -> None:
        """Writes an object whole; readers see the old one or the new one, nothing between."""
        self.put_stream(key, io.BytesIO(data), len(data), content_type)

    def put_stream(
        self, key: str, data: BinaryIO, size_bytes: int, content_type: str = _BINARY
    ) -> None:
        """Writes an object as `put` does, holding a few megabytes of it at a time."""
        self._call(
            key,
            lambda: self._client.put_object(
                self.bucket, key, data, size_bytes, content_type=content_type
            ),
        )

    def put_new(self, key: str, data: bytes, content_type: str = _BINARY) -> str | None:
        """Writes an object unless there is another; its ETag if it stands now, else None.

        A store that does not know conditional requests writes it in any case.

        Raises:
            StoreError: The store is away, or others write or remove the object meanwhile.
        """
        if etag := self._put_if("If-None-Match", "*", key, data, content_type):
            return etag
        # An attempt may have been done although its answer was lost: the next finds its own object.
        there = self.find_tagged(key)
        if there is None:
            raise self._refused(key, "ConditionalRequestConflict")
        return there.etag if there.data == data else None

    def put_matching(
        self, key: str, data: bytes, etag: str, content_type: str = _BINARY
    ) -> str | None:
        """Replaces an object if it still is what was read; as `put_new`.

        A store that does not know conditional requests replaces it in any case.

        Args:
            key: Its name.
            data: What is to stand there.
            etag: Of what was read, by `find_tagged`.
            content_type: Of the data.
        """
        # As in `put_new`.
        if written := self._put_if("If-Match", f'"{etag}"', key, data, content_type):
            return written
        there = self.find_tagged(key)
        return there.etag if there and there.data == data else None

    def _put_if(
        self, condition: str, value: str, key: str, data: bytes, content_type: str
    ) -> str | None:
        def put() -> str | None:
            headers: dict[str, str | list[str] | tuple[str]] = {"Content-Type": content_type}
            try:
                # minio-py has no public way to send the header.
                done = self._client._put_object(
                    self.bucket, key, data, {**headers, condition: value}
                )
            except S3Error as error:
                if error.code in _UNMET:
                    return None
                if error.code != "NotImplemented":
                    raise
                done = self._client._put_object(self.bucket, key, data, headers)
            return str(done.etag)

        return self._call(key, put)

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
        return self._read(self.bucket, key, limit_bytes).data

    def get_uri(self, uri: str, *, limit_bytes: int | None = None) -> bytes:
        """Reads an object of any bucket by its s3:// name, as `get`.

        Raises:
            ValueError: It is no such name.
        """
        return self._read(*parse_s3_uri(uri), limit_bytes).data

    def _read(self, bucket: str, key: str, limit_bytes: int | None = None) -> Found:
        def read() -> Found:
            try:
                response = self._client.get_object(
                    bucket, key, length=limit_bytes + 1 if limit_bytes else 0
                )
            except S3Error as error:
                if error.code == "InvalidRange":  # no part of an empty object can be asked for
                    return Found(b"", "")
                raise
            try:
                return Found(bytes(response.read()), response.headers["ETag"].strip('"'))
            finally:
                response.close()
                response.release_conn()

        return self._call(key, read)

    def find(self, key: str) -> bytes | None:
        """Reads an object, or None if there is none."""
        found = self.find_tagged(key)
        return None if found is None else found.data

    def find_tagged(self, key: str) -> Found | None:
        """Reads an object with its ETag, or None if there is none."""
        try:
            return self._read(self.bucket, key)
        except NotFoundError:
            return None

    def exists(self, key: str) -> bool:
        """Whether there is such an object."""
        return self.modified(key) is not None

    def modified(self, key: str) -> datetime | None:
        """When an object was last written, in UTC, to the second; None if there is none."""
        try:
            found = self._call(key, lambda: self._client.stat_object(self.bucket, key))
        except NotFoundError:
            return None
        return found.last_modified

    def touch(self, key: str) -> None:
        """Makes an object as new, without sending it again.

        Raises:
            NotFoundError: There is none.
        """
        source = CopySource(self.bucket, key)
        self._call(
            key,
            lambda: self._client.copy_object(self.bucket, key, source, metadata_directive=REPLACE),
        )

    def delete(self, key: str) -> None:
        """Removes an object; one that is not there is fine."""
        self._call(key, lambda: self._client.remove_object(self.bucket, key))

    def delete_all(self, keys: Iterable[str]) -> int:
        """Removes objects, a thousand a request; returns how many there were to remove.

        Raises:
            StoreError: One of them cannot be removed; those before it are gone.
        """
        names, count = iter(keys), 0
        while batch := [DeleteObject(key) for key in islice(names, _MOST_DELETED)]:
            with self._errors(batch[0].name):
                for error in self._client.remove_objects(self.bucket, batch):
                    raise self._refused(error.name or "", error.code)
            count += len(batch)
        return count

    def list_keys(self, prefix: str, *, recursive: bool = True) -> Iterator[str]:
        """Names under a prefix, in order; if not recursive, "folders" too, ending in a slash."""
        for found in self._list(prefix, recursive=recursive):
            yield str(found.object_name)

    def list_stored(self, prefix: str) -> Iterator[Stored]:
        """Objects under a prefix, in order."""
        for found in self._list(prefix, recursive=True):
            if found.last_modified is not None:
                name, etag = str(found.object_name), (found.etag or "").strip('"')
                yield Stored(name, found.size or 0, found.last_modified, etag)

    def _list(self, prefix: str, *, recursive: bool) -> Iterator[Object]:
        objects = self._client.list_objects(self.bucket, prefix=prefix, recursive=recursive)
        with self._errors(prefix):
            yield from (found for found in objects if found.object_name)

    def ensure_bucket(self) -> None:
        """Makes the bucket if it is not there."""

        def make() -> None:
            if not self._client.bucket_exists(self.bucket):
                self._client.make_bucket(self.bucket)

        self._call(self.bucket, make)

    def check(self) -> None:
        """Returns if the bucket answers.

        Raises:
            StoreError: It does not; the hint names the endpoint or the bucket.
        """
        found = self._call(self.bucket, lambda: self._client.bucket_exists(self.bucket))
        if not found:
            raise self._no_bucket()

    def _no_bucket(self) -> StoreError:
        return StoreError(
            f"there is no bucket {self.bucket!r} at {self.endpoint}",
            code="no-bucket",
            hint="make it, or name another with REGIONCAP_S3_BUCKET",
        )

    def _call(self, key: str, request: Callable[[], T]) -> T:
        with self._errors(key):
            return request()

    @contextmanager
    def _errors(self, key: str) -> Iterator[None]:
        """Says what went wrong in our words; the client's own errors carry whole requests."""
        try:
            yield
        except S3Error as error:
            if error.code == "NoSuchBucket" and error.bucket_name == self.bucket:
                # Not as if one object were missing: a worker that looks in the wrong place must
                # not take every job for one that is gone.
                raise self._no_bucket() from None
            if error.code in _MISSING:
                raise NotFoundError(f"no object {key!r} in {self.bucket}") from None
            raise self._refused(key, error.code) from None
        except (MinioException, urllib3.exceptions.HTTPError, OSError, ValueError) as error:
            metrics.add("store_errors", code=StoreError.code)
            raise StoreError(
                f"the S3 store at {self.endpoint} cannot be reached ({type(error).__name__})",
                hint="is it up? `regioncap doctor` checks; REGIONCAP_S3_ENDPOINT names it",
            ) from error

    def _refused(self, key: str, code: str | None) -> StoreError:
        hint = ""
        if code in _DENIED:
            hint = "check REGIONCAP_S3_ACCESS_KEY and REGIONCAP_S3_SECRET_KEY"
        metrics.add("store_errors", code="store-refused")
        return StoreError(
            f"the S3 store at {self.endpoint} refused {key!r}: {code}",
            code="store-refused",
            hint=hint,
        )


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


class _CountedRetry(urllib3.Retry):
    """Tries again, and counts it."""

    def increment(self, *args: Any, **kwargs: Any) -> Self:
        metrics.add("store_retries")
        return super().increment(*args, **kwargs)


def _http_client(attempts: int, secure: bool) -> urllib3.PoolManager:
    retries = _CountedRetry(
        total=attempts,
        backoff_factor=0.2,
        status_forcelist=[500, 502, 503, 504],
        raise_on_status=False,
    )
    options: dict[str, Any] = {}
    if secure:
        import ssl

        options["cert_reqs"] = "CERT_REQUIRED"
        options["ca_certs"] = (
            os.environ.get("SSL_CERT_FILE") or ssl.get_default_verify_paths().cafile
        )
    return urllib3.PoolManager(
        num_pools=2,
        maxsize=_CONNECTIONS,
        timeout=urllib3.Timeout(connect=5, read=60),
        retries=retries,
        **options,
    )
