"""An S3 server in memory, and the part of minio-py's client that the product's `Store` uses."""

from __future__ import annotations

import hashlib
from collections.abc import Callable, Iterable, Iterator
from datetime import UTC, datetime
from functools import partial
from types import SimpleNamespace
from typing import Any, BinaryIO, Literal, NamedTuple, TypeVar

import urllib3
from minio.commonconfig import CopySource
from minio.datatypes import Bucket, Object
from minio.deleteobjects import DeleteError, DeleteObject
from minio.error import S3Error

from regioncap.services.store import Store
from regioncap.settings import Settings
from tests.simulation.gate import Gate, ask

T = TypeVar("T")
Conditions = Literal["kept", "ignored", "unknown"]

#: What a server says, by the status that it says it with.
CODES = {
    403: "AccessDenied",
    404: "NoSuchKey",
    409: "ConditionalRequestConflict",
    412: "PreconditionFailed",
    416: "InvalidRange",
    501: "NotImplemented",
    503: "SlowDown",
}
#: As `regioncap.services.store` has urllib3 pause.
_PAUSES_S = (0.0, 0.4, 0.8, 1.6)
#: Names in one answer to a listing.
_PAGE = 1000


class Body(NamedTuple):
    """An object as it lies in the server."""

    data: bytes
    written: datetime
    etag: str


class S3Server:
    """All buckets.

    Args:
        conditions: What it does with conditions of writes.
    """

    def __init__(self, conditions: Conditions = "kept") -> None:
        self.buckets: dict[str, dict[str, Body]] = {}
        self.conditions = conditions
        #: Beginnings of `bucket/key` that may not be touched.
        self.denied: set[str] = set()
        #: Buckets that are not to be found for the moment.
        self.missing: set[str] = set()
        #: Told of the key of an object that was written.
        self.on_put: Callable[[str], None] = lambda _: None


def with_bucket(conditions: Conditions = "kept") -> S3Server:
    """A server that has the bucket of the default settings."""
    server = S3Server(conditions)
    server.buckets["regioncap"] = {}
    return server


def error(status: int, bucket: str = "", key: str = "", code: str = "") -> S3Error:
    """A server's refusal, as minio-py raises it."""
    response: Any = SimpleNamespace(status=status)
    return S3Error(response, code or CODES[status], None, None, None, None, bucket, key)


def lost() -> Exception:
    """What minio-py raises when a connection breaks."""
    return urllib3.exceptions.ProtocolError("Connection aborted.")


def is_passing(failure: Exception) -> bool:
    """Whether urllib3 tries again after it, as it is told by `regioncap.services.store`."""
    if isinstance(failure, S3Error):
        return failure.response.status in {500, 502, 503, 504}
    return isinstance(failure, urllib3.exceptions.HTTPError)


def store_of(server: S3Server, settings: Settings, gate: Gate | None = None) -> Store:
    """The product's `Store` before a server in memory."""
    store = Store(settings)
    client: Any = Client(server, gate or Gate())
    store._client = client
    store._sleep = client._gate.sleep
    return store


def kind_of(key: str) -> str:
    """What an object is, by its key: `results`, `_SUCCESS`, `images`, ..."""
    parts = key.split("/")
    return parts[2] if parts[0] == "jobs" and len(parts) > 2 else parts[0]


class _Answer:
    """What `get_object` returns."""

    def __init__(self, data: bytes, etag: str) -> None:
        self._data = data
        self.headers = {"ETag": f'"{etag}"'}

    def read(self) -> bytes:
        return self._data

    def close(self) -> None:
        pass

    def release_conn(self) -> None:
        pass


class Client:
    """Methods of `minio.Minio` by the same names.

    Args:
        server: Whom it asks.
        gate: What each attempt passes.
    """

    def __init__(self, server: S3Server, gate: Gate) -> None:
        self._server = server
        self._gate = gate

    def put_object(
        self, bucket: str, key: str, data: BinaryIO, size: int, content_type: str = ""
    ) -> Object:
        whole = data.read(size)
        assert len(whole) == size, "stream has fewer bytes than were announced"
        return self._put_object(bucket, key, whole, {})

    def _put_object(self, bucket: str, key: str, data: bytes, headers: dict[str, str]) -> Object:
        conditions = {"If-Match": "replace", "If-None-Match": "create"}

        def put() -> Object:
            objects = self._objects(bucket, key)
            if self._server.conditions == "kept":
                _check(headers, objects.get(key), bucket, key)
            elif self._server.conditions == "unknown" and conditions.keys() & headers.keys():
                raise error(501, bucket, key)
            # As S3 makes it of an object that comes in one piece.
            etag = hashlib.md5(data, usedforsecurity=False).hexdigest()
            objects[key] = Body(data, self._now(), etag)
            self._server.on_put(key)
            return self._object(bucket, key, objects[key])

        verb = next((verb for name, verb in conditions.items() if name in headers), "put")
        return self._ask(verb, kind_of(key), put)

    def get_object(self, bucket: str, key: str, length: int = 0) -> _Answer:
        def get() -> _Answer:
            body = self._body(bucket, key)
            if length and not body.data:
                raise error(416, bucket, key)
            return _Answer(body.data[: length or None], body.etag)

        return self._ask("get", kind_of(key), get)

    def stat_object(self, bucket: str, key: str) -> Object:
        def stat() -> Object:
            try:
                return self._object(bucket, key, self._body(bucket, key))
            except S3Error as failure:
                if failure.code == "NoSuchBucket":  # an answer to HEAD has no text
                    raise error(404, bucket, key) from None
                raise

        return self._ask("head", kind_of(key), stat)

    def copy_object(
        self, bucket: str, key: str, source: CopySource, metadata_directive: str
    ) -> None:
        def copy() -> None:
            body = self._body(str(source.bucket_name), str(source.object_name))
            self._objects(bucket, key)[key] = body._replace(written=self._now())

        self._ask("copy", kind_of(key), copy)

    def remove_object(self, bucket: str, key: str) -> None:
        self._ask("delete", kind_of(key), lambda: self._objects(bucket, key).pop(key, None))

    def remove_objects(self, bucket: str, batch: Iterable[DeleteObject]) -> Iterator[DeleteError]:
        keys = [str(each.name) for each in batch]

        def remove() -> None:
            for key in keys:
                self._objects(bucket, key).pop(key, None)

        self._ask("delete", "many", remove)
        return iter(())

    def list_objects(
        self, bucket: str, prefix: str = "", recursive: bool = False, start_after: str | None = None
    ) -> Iterator[Object]:
        after = start_after or ""
        while True:
            page = self._ask("list", kind_of(prefix), partial(self._page, bucket, prefix, after))
            yield from page if recursive else _folded(page, prefix)
            if len(page) < _PAGE:
                return
            after = str(page[-1].object_name)

    def bucket_exists(self, bucket: str) -> bool:
        return self._ask("head", "bucket", lambda: bucket in self._server.buckets)

    def make_bucket(self, bucket: str) -> Bucket:
        self._ask("put", "bucket", lambda: self._server.buckets.setdefault(bucket, {}))
        return Bucket(bucket, self._now())

    def _page(self, bucket: str, prefix: str, after: str) -> list[Object]:
        objects = self._objects(bucket, prefix)
        keys = sorted(key for key in objects if key.startswith(prefix) and key > after)
        return [self._object(bucket, key, objects[key]) for key in keys[:_PAGE]]

    def _objects(self, bucket: str, key: str) -> dict[str, Body]:
        if any(f"{bucket}/{key}".startswith(denied) for denied in self._server.denied):
            raise error(403, bucket, key)
        if bucket not in self._server.buckets or bucket in self._server.missing:
            raise error(404, bucket, key, "NoSuchBucket")
        return self._server.buckets[bucket]

    def _body(self, bucket: str, key: str) -> Body:
        try:
            return self._objects(bucket, key)[key]
        except KeyError:
            raise error(404, bucket, key) from None

    def _object(self, bucket: str, key: str, body: Body) -> Object:
        return Object(bucket, key, body.written, body.etag, len(body.data))

    def _ask(self, verb: str, kind: str, effect: Callable[[], T]) -> T:
        return ask(self._gate, f"s3 {verb} {kind}", effect, is_passing, _PAUSES_S)

    def _now(self) -> datetime:
        return datetime.fromtimestamp(int(self._gate.now_s()), UTC)


def _check(headers: dict[str, str], there: Body | None, bucket: str, key: str) -> None:
    """Refuses a write whose condition is not met."""
    if "If-None-Match" in headers and there is not None:
        raise error(412, bucket, key)
    wanted = headers.get("If-Match")
    if wanted is not None and (there is None or wanted.strip('"') not in {there.etag, "*"}):
        raise error(412, bucket, key)


def _folded(page: list[Object], prefix: str) -> Iterator[Object]:
    """Objects and "folders" right under a prefix, each once."""
    seen = set()
    for found in page:
        rest = str(found.object_name)[len(prefix) :]
        name = prefix + rest.split("/")[0] + ("/" if "/" in rest else "")
        if name not in seen:
            seen.add(name)
            yield found if name == found.object_name else Object(found.bucket_name, name)
