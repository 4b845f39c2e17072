"""One bucket of an S3 server: where it is, what is in it, and what its refusals mean."""

from __future__ import annotations

import socket
from collections.abc import Callable, Iterator
from contextlib import contextmanager
from datetime import datetime
from typing import NamedTuple, TypeVar
from urllib.parse import urlsplit
from xml.etree.ElementTree import ParseError

import urllib3
from minio import Minio
from minio.datatypes import Object
from minio.error import MinioException, S3Error

from regioncap import addresses, metrics
from regioncap.errors import NotFoundError, StoreDeniedError, StoreError, UsageError
from regioncap.parallel import REAL
from regioncap.services.credentials import Renewed, provider_of
from regioncap.services.http import http_client
from regioncap.services.reasons import is_certificate
from regioncap.services.refusals import CONFLICTS, DENIED, MISSING, region_of, remedy, why
from regioncap.settings import Settings

T = TypeVar("T")

#: Before a request is made again that others' writes are in the way of.
CONFLICT_PAUSES_S = (0.1, 0.2, 0.4, 0.8, 1.6, 3.2)
#: Longest wait for something to listen at the endpoint.
_REACH_S = 3.0
#: What comes of a store that cannot be reached, or of somebody else who answers for it with a page.
_NO_ANSWER = (MinioException, urllib3.exceptions.HTTPError, OSError, ValueError, ParseError)
_AWAY = "is it up? `regioncap doctor` checks; REGIONCAP_S3_ENDPOINT names it"
_UNSIGNED = (
    "no credentials were found, so requests are not signed: set REGIONCAP_S3_ACCESS_KEY and"
    " REGIONCAP_S3_SECRET_KEY, or see docs/stores.md for those of a cloud"
)
_TRUST = "SSL_CERT_FILE names a file with the certificates of the authorities that are trusted"


class Stored(NamedTuple):
    """One object of a listing."""

    key: str
    size_bytes: int
    modified: datetime
    #: As in `Found`.
    etag: str = ""


class Bucket:
    """One bucket, or one folder of it.

    Thread-safe, but not across a fork: make it after forking. Each call is retried a few times by
    the HTTP client on lost connections and 5xx answers; after that it is a StoreError.

    Args:
        settings: Endpoint, credentials and bucket.
        attempts: Tries of one request before it counts as failed.
    """

    def __init__(self, settings: Settings, *, attempts: int = 4) -> None:
        if "://" in settings.s3_endpoint:
            raise UsageError(
                f"s3_endpoint: {addresses.public(settings.s3_endpoint)!r} is a URL",
                code="bad-settings",
                hint="give host:port, and s3_secure=true for TLS",
            )
        self.bucket = settings.s3_bucket
        self.endpoint = settings.s3_endpoint
        self._secure = settings.s3_secure
        self._prefix = f"{settings.s3_prefix}/" if settings.s3_prefix else ""
        self._credentials = provider_of(settings)
        self._client = Minio(
            settings.s3_endpoint,
            credentials=self._credentials,
            secure=settings.s3_secure,
            region=settings.s3_region,
            http_client=http_client(attempts, settings.s3_secure),
        )
        self._sleep = REAL.sleep

    @property
    def signed_by(self) -> str:
        """Where the credentials come from; empty where there are none, and after no request yet."""
        found = self._credentials
        return found.found_in if isinstance(found, Renewed) else "settings"

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
        return f"s3://{self.bucket}/{self._name(key)}"

    def list_keys(self, prefix: str, *, recursive: bool = True) -> Iterator[str]:
        """Names under a prefix, in order; if not recursive, "folders" too, ending in a slash."""
        for found in self._list(prefix, recursive=recursive):
            yield self._key(found)

    def list_stored(self, prefix: str) -> Iterator[Stored]:
        """Objects under a prefix, in order."""
        for found in self._list(prefix, recursive=True):
            if found.last_modified is not None:
                etag = bare(found.etag)
                yield Stored(self._key(found), found.size or 0, found.last_modified, etag)

    def list_uri(self, uri: str) -> Iterator[Stored]:
        """Objects of any bucket whose s3:// names begin so, in order, by their whole names."""
        bucket, _, prefix = uri.removeprefix("s3://").partition("/")
        with self._errors(prefix, bucket):
            for found in self._client.list_objects(bucket, prefix=prefix, recursive=True):
                if found.object_name and found.last_modified is not None:
                    yield Stored(str(found.object_name), found.size or 0, found.last_modified)

    def _list(self, prefix: str, *, recursive: bool) -> Iterator[Object]:
        objects = self._client.list_objects(
            self.bucket, prefix=self._name(prefix), recursive=recursive
        )
        with self._errors(prefix):
            yield from (found for found in objects if found.object_name)

    def _name(self, key: str) -> str:
        """An object's name in the bucket."""
        return self._prefix + key

    def _key(self, found: Object) -> str:
        return str(found.object_name).removeprefix(self._prefix)

    def ensure_bucket(self) -> None:
        """Makes the bucket if it is not there."""
        try:
            self.check()
        except StoreError as error:
            if error.code != "no-bucket":
                raise
            self._call("", self._make_bucket)

    def _make_bucket(self) -> None:
        try:
            self._client.make_bucket(self.bucket)
        except S3Error as error:
            if error.code != "BucketAlreadyOwnedByYou":
                raise

    def check(self) -> None:
        """Returns if the bucket answers.

        Raises:
            StoreError: It does not; the hint names the remedy.
        """
        # No HEAD, whose answer would not tell why; and what is named is all but empty.
        next(self._list("doctor/", recursive=True), None)

    def _no_bucket(self) -> StoreError:
        return StoreError(
            f"there is no bucket {self.bucket!r} at {self.endpoint}",
            code="no-bucket",
            hint="make it, or name another with REGIONCAP_S3_BUCKET",
        )

    def _call(self, key: str, request: Callable[[], T], *, bucket: str | None = None) -> T:
        """Makes a request, again for a while if others are at the same thing."""
        with self._errors(key, bucket):
            for pause_s in CONFLICT_PAUSES_S:
                try:
                    return request()
                except S3Error as error:
                    if error.code not in CONFLICTS:
                        raise
                    self._sleep(pause_s)
            return request()

    @contextmanager
    def _errors(self, key: str, bucket: str | None = None) -> Iterator[None]:
        """Says what went wrong in our words; the client's own errors carry whole requests."""
        bucket = bucket or self.bucket
        try:
            yield
        except S3Error as error:
            theirs = {None, "", self.bucket} if bucket == self.bucket else {self.bucket}
            if error.code == "NoSuchBucket" and error.bucket_name in theirs:
                # Not as if one object were missing: a worker that looks in the wrong place must
                # not take every job for one that is gone.
                raise self._no_bucket() from None
            if error.code in MISSING:
                raise NotFoundError(f"no object {key!r} in {bucket}") from None
            raise self._refused(key, error.code, region_of(error)) from None
        except _NO_ANSWER as error:
            metrics.add("store_errors", code=StoreError.code)
            raise StoreError(
                f"the S3 store at {self.endpoint} cannot be reached ({why(error)})",
                hint=_TRUST if is_certificate(error) else _AWAY,
            ) from error

    def _refused(self, key: str, code: str | None, region: str | None = None) -> StoreError:
        metrics.add("store_errors", code="store-refused")
        kind = StoreDeniedError if code in DENIED else StoreError
        unsigned = code in DENIED and not self.signed_by
        return kind(
            f"the S3 store at {self.endpoint} refused {key!r}: {code}",
            code="store-refused",
            hint=_UNSIGNED if unsigned else remedy(code, region),
        )


def bare(etag: str | None) -> str:
    """An ETag without what may stand around it."""
    return (etag or "").removeprefix("W/").strip('"')
