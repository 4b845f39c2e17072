"""`AsyncClient` holds up no event loop, wherever its reader stops."""

from __future__ import annotations

import asyncio
import threading

import pytest

from regioncap.async_client import AsyncClient
from regioncap.client import Client
from regioncap.settings import Settings
from tests.simulation import s3
from tests.simulation.gate import Gate
from tests.support.jobs import job_at, put_job, result


class Held(Gate):
    """Lets some results parts be fetched, and the next when it is told.

    Args:
        free: How many are fetched at once.
    """

    def __init__(self, free: int) -> None:
        self._free = free
        self._lock = threading.Lock()
        self.is_asked = threading.Event()
        self.go = threading.Event()
        #: Whether each that was held was let go by somebody, and in time.
        self.let_go: list[bool] = []

    def enter(self, request: str) -> None:
        if request != "s3 get results":
            return
        with self._lock:
            self._free -= 1
            is_free = self._free >= 0
        if not is_free:
            self.is_asked.set()
            self.let_go.append(self.go.wait(20))


def client_of(held: Held, monkeypatch: pytest.MonkeyPatch) -> AsyncClient:
    """A client of a job of three results parts."""
    server = s3.with_bucket()
    job = job_at(1, records=3, shard_size=1)
    parts = {shard: [result(job, shard, "a finch")] for shard in range(job.shards)}
    put_job(s3.store_of(server, Settings()), job, parts)
    monkeypatch.setattr(Client, "store", s3.store_of(server, Settings(), held))
    return AsyncClient(Settings())


def test_who_stops_early_holds_up_no_loop(monkeypatch: pytest.MonkeyPatch) -> None:
    held = Held(1)
    client = client_of(held, monkeypatch)

    async def read() -> None:
        async for record in client.results():
            assert record["index"] == 0
            break
        await asyncio.to_thread(held.is_asked.wait)
        # What is left of the stream ends on the loop, before this goes on.
        await asyncio.sleep(0)
        await asyncio.sleep(0)
        held.go.set()

    asyncio.run(read())

    assert held.let_go
    assert all(held.let_go)


def test_who_is_cancelled_waits_for_no_store(monkeypatch: pytest.MonkeyPatch) -> None:
    held = Held(0)
    client = client_of(held, monkeypatch)

    async def read() -> None:
        stream = client.results()
        first = asyncio.ensure_future(anext(stream))
        await asyncio.to_thread(held.is_asked.wait)
        first.cancel()
        with pytest.raises(asyncio.CancelledError):
            await first
        held.go.set()

    asyncio.run(read())

    assert held.let_go
    assert all(held.let_go)


def test_a_stream_ends_in_another_thread_than_reads_it(monkeypatch: pytest.MonkeyPatch) -> None:
    held = Held(0)
    client_of(held, monkeypatch)
    records = Client(Settings()).results()
    found: list[int] = []
    reading = threading.Thread(target=lambda: found.append(next(records)["index"]))
    reading.start()
    held.is_asked.wait()
    closing = threading.Thread(target=records.close)
    closing.start()
    held.go.set()
    reading.join()
    closing.join()

    assert found == [0]
    assert list(records) == []


def test_a_stream_may_end_before_it_begins(monkeypatch: pytest.MonkeyPatch) -> None:
    client_of(Held(9), monkeypatch)
    records = Client(Settings()).results()
    records.close()

    assert list(records) == []
