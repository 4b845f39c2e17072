"""What the addresses of the page answer, over a store in memory and without Redis."""

from __future__ import annotations

import asyncio
import time
from collections.abc import Iterator
from datetime import datetime
from types import SimpleNamespace
from typing import Any

import pytest
from pydantic import SecretStr
from starlette.types import ASGIApp, Message

from producer.site.app import make_app
from regioncap import keys
from regioncap.errors import NotFoundError, StoreError
from regioncap.job import Job
from regioncap.jobs.status import Waiting
from regioncap.records import InputRecord
from regioncap.services.broker import connect
from regioncap.settings import Settings
from tests.support.jobs import job_at, put_job, result

HOSTILE = "</script><b>bold</b>"
MISSING = {"code": "image-missing", "message": f"gone {HOSTILE}", "stage": "submit", "hint": ""}


class Memory:
    """A store of objects by key."""

    bucket = "b"

    def __init__(self) -> None:
        self.objects: dict[str, bytes] = {}
        #: Folders that are listed although nothing lies in them, as SeaweedFS does for a while.
        self.empty: list[str] = []
        self.error: StoreError | None = None

    def uri(self, key: str) -> str:
        return f"s3://b/{key}"

    def put(self, key: str, data: bytes, content_type: str = "") -> None:
        self.objects[key] = data

    def delete(self, key: str) -> None:
        self.objects.pop(key, None)

    def get(self, key: str, *, limit_bytes: int | None = None) -> bytes:
        if self.error:
            raise self.error
        if key not in self.objects:
            raise NotFoundError(key)
        return self.objects[key]

    def find(self, key: str) -> bytes | None:
        return self.objects.get(key)

    def find_tagged(self, key: str) -> None:
        return None

    def exists(self, key: str) -> bool:
        return key in self.objects

    def modified(self, key: str) -> datetime | None:
        return None

    def list_keys(self, prefix: str, *, recursive: bool = True) -> Iterator[str]:
        if self.error:
            raise self.error
        names = sorted(key for key in self.objects if key.startswith(prefix))
        if recursive:
            yield from names
        else:
            rest = (name.removeprefix(prefix).partition("/") for name in names)
            found = [f"{prefix}{head}{slash}" for head, slash, _ in rest]
            folders = [each for each in self.empty if each.startswith(prefix)]
            yield from dict.fromkeys(found + folders)


@pytest.fixture
def store() -> Memory:
    return Memory()


@pytest.fixture
def app(store: Memory) -> ASGIApp:
    settings = Settings(broker_url=SecretStr("redis://127.0.0.1:1/0"))
    nobody = connect(settings, patient=False)
    client = SimpleNamespace(store=store, redis=nobody, settings=settings)
    return make_app(client, None, "0.0.0.0", 8765)  # type: ignore[arg-type]


def ask(app: ASGIApp, address: str, method: str = "GET") -> tuple[int, dict[str, str], str]:
    """Status, headers and body of an answer."""
    sent: list[Message] = []

    async def send(message: Message) -> None:
        sent.append(message)

    async def receive() -> Message:
        return {"type": "http.request", "body": b"", "more_body": False}

    path, _, query = address.partition("?")
    scope: dict[str, Any] = {
        "type": "http", "method": method, "path": path, "query_string": query.encode(),
        "headers": [(b"host", b"here")], "scheme": "http", "server": ("here", 80), "root_path": "",
    }  # fmt: skip

    async def answer() -> None:
        await app(scope, receive, send)

    asyncio.run(answer())
    start, *rest = sent
    headers = {name.decode(): value.decode() for name, value in start["headers"]}
    return (
        start["status"],
        headers,
        b"".join(each.get("body", b"") for each in rest).decode(errors="replace"),
    )


def a_job(store: Memory, *, records: int = 3, done: bool = True, **more: Any) -> Job:
    job = job_at(0, records=records, shard_size=2, **more)
    lines = [result(job, 0, HOSTILE), result(job, 1, error=MISSING), result(job, 2, "a cup")]
    inputs = [InputRecord(index=n, line=n + 1) for n in range(2)]
    put_job(store, job, {0: lines[:2], 1: lines[2:]}, inputs={0: inputs}, done=done)  # type: ignore[arg-type]
    return job


def test_the_list_and_a_job(store: Memory, app: ASGIApp) -> None:
    job = a_job(store, name=HOSTILE, labels={"team": HOSTILE})

    for address in ("/", "/?text=bold", f"/jobs/{job.job}", f"/jobs/{job.job}?which=failed"):
        status, headers, body = ask(app, address)
        assert status == 200
        assert "&lt;b&gt;bold" in body
        assert "<b>" not in body
        assert "script-src 'sha256-" in headers["content-security-policy"]
        assert "unsafe" not in headers["content-security-policy"]
    assert "1 failed" in body
    assert "image-missing" in body


def test_nothing_is_there_yet(app: ASGIApp, store: Memory) -> None:
    assert "No jobs yet" in ask(app, "/")[2]
    store.error = StoreError("there is none", code="no-bucket")
    assert "No job is under way" in ask(app, "/?which=open")[2]


def test_a_store_that_is_away_is_said_to_be(app: ASGIApp, store: Memory) -> None:
    store.error = StoreError("the store is away", hint="is it up?")

    status, _, body = ask(app, "/")

    assert status == 503
    assert "the store is away" in body
    assert "is it up?" in body


def test_a_submission_under_way_and_a_broken_job_have_their_rows(
    app: ASGIApp, store: Memory
) -> None:
    store.put(keys.part_key("20261101-000001-aaaaaa", "input", 0), b"")
    store.put(keys.job_key("20261101-000002-aaaaaa"), b"{}")
    store.put("jobs/no-job/x", b"")

    _, _, body = ask(app, "/")

    assert "is being submitted" in body
    assert "cannot be read" in body
    assert "no-job" not in body


@pytest.mark.parametrize("was_seen", [True, False])
def test_a_job_that_was_removed_is_gone_though_its_folder_is_listed(
    app: ASGIApp, store: Memory, monkeypatch: pytest.MonkeyPatch, was_seen: bool
) -> None:
    stays, goes = a_job(store, name="stays"), job_at(9, name="goes")
    put_job(store, goes, {}, done=False)  # type: ignore[arg-type]
    if was_seen:
        assert "2 jobs" in ask(app, "/")[2]
    store.objects = {key: value for key, value in store.objects.items() if goes.job not in key}
    store.empty = [keys.prefix(goes.job)]
    later = time.monotonic() + 3  # when the page looks again
    monkeypatch.setattr("producer.site.catalogue.time.monotonic", lambda: later)

    for address in ("/", "/?text=2026"):
        body = ask(app, address)[2]
        assert stays.job in body
        assert goes.job not in body
    assert "1 job<" in ask(app, "/")[2]
    assert ask(app, f"/jobs/{goes.job}")[0] == 404


def test_an_unfinished_job_tells_how_far_it_is_by_the_store_alone(
    app: ASGIApp, store: Memory
) -> None:
    job = a_job(store, done=False)
    store.delete(keys.part_key(job.job, "results", 1))

    _, _, body = ask(app, f"/jobs/{job.job}/progress")

    assert "running" in body
    assert "2 of 3 records" in body
    assert f'data-from="/jobs/{job.job}/progress"' in body
    assert 'data-done="2"' in body


def test_why_a_job_waits(app: ASGIApp, store: Memory, monkeypatch: pytest.MonkeyPatch) -> None:
    job = a_job(store, done=False)
    monkeypatch.setattr("producer.site.catalogue.Jobs._reach_redis", lambda _: object())
    monkeypatch.setattr("regioncap.jobs.status.Progress.counts", lambda _: {"shards": 0})
    monkeypatch.setattr("regioncap.jobs.status.Progress.rendered", lambda _: 0)
    wait = Waiting(
        stage="caption", code="engine-away", reason=HOSTILE, waited_s=40.0, again_in_s=3.0
    )
    monkeypatch.setattr("regioncap.jobs.status.due.count", lambda *_: 0)
    monkeypatch.setattr("regioncap.jobs.status._waits", lambda *_: [wait])

    for address in ("/", f"/jobs/{job.job}"):
        body = ask(app, address)[2]
        assert "caption waits: &lt;/script&gt;&lt;b&gt;bold&lt;/b&gt;, for 40 s" in body


@pytest.mark.parametrize("method", ["POST", "PUT", "DELETE", "PATCH"])
def test_it_changes_nothing(app: ASGIApp, store: Memory, method: str) -> None:
    job = a_job(store)
    before = dict(store.objects)

    for address in ("/", f"/jobs/{job.job}", f"/jobs/{job.job}/pictures/0/clean"):
        assert ask(app, address, method)[0] == 405
    assert store.objects == before


@pytest.mark.parametrize(
    ("address", "status"),
    [
        ("/jobs/{job}/pictures/0/clean", 404),
        ("/jobs/{job}/pictures/0/small", 204),
        ("/jobs/{job}/pictures/9/marked", 404),
        ("/jobs/{job}/pictures/0/job.json", 404),
        ("/jobs/{job}?from=x", 404),
        ("/jobs/{job}?from=99", 200),
        ("/jobs/../{job}", 404),
        ("/nothing", 404),
    ],
)
def test_what_is_not_there(app: ASGIApp, store: Memory, address: str, status: int) -> None:
    assert ask(app, address.format(job=a_job(store).job))[0] == status


def test_only_a_jpeg_of_the_job_itself_is_a_marked_picture(app: ASGIApp, store: Memory) -> None:
    job = a_job(store)
    store.put(keys.marked_key(job.job, 0), b"<html>")
    store.put(keys.marked_key(job.job, 2), b"\xff\xd8\xff and so on")

    assert ask(app, f"/jobs/{job.job}/pictures/0/marked")[0] == 404
    status, headers, _ = ask(app, f"/jobs/{job.job}/pictures/2/marked")
    assert (status, headers["content-type"]) == (200, "image/jpeg")
