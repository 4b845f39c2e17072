"""What clients do when a service is not well: an answer that is lost is no effect that is lost."""

from __future__ import annotations

import hashlib
import json
from collections.abc import Callable
from dataclasses import dataclass, field

import pytest
import redis

from regioncap.errors import StoreError, UsageError
from regioncap.services.attempts import Attempts
from regioncap.services.presence import check_timeout
from regioncap.services.store import Store
from regioncap.settings import Settings
from tests.simulation import s3, valkey
from tests.simulation.gate import Gate


@dataclass
class Trouble(Gate):
    """A gate that refuses what it is told to."""

    #: What is raised before a request, and after it, for the next requests.
    before: list[Exception | None] = field(default_factory=list)
    after: list[Exception | None] = field(default_factory=list)
    requests: list[str] = field(default_factory=list)
    #: Called while the client waits to try again.
    meanwhile: Callable[[], None] = lambda: None

    def sleep(self, seconds: float) -> None:
        self.meanwhile()

    def enter(self, request: str) -> None:
        self.requests.append(request)
        self._next(self.before)

    def leave(self, request: str) -> None:
        self._next(self.after)

    @staticmethod
    def _next(failures: list[Exception | None]) -> None:
        failure = failures.pop(0) if failures else None
        if failure is not None:
            raise failure


@pytest.fixture
def gate() -> Trouble:
    return Trouble()


@pytest.fixture
def store(gate: Trouble) -> Store:
    server = s3.with_bucket()
    return s3.store_of(server, Settings(), gate)


@pytest.fixture
def client(gate: Trouble) -> redis.Redis:
    return valkey.Client(valkey.Server(gate.now_s), gate)


def test_put_new__lost_answer(store: Store, gate: Trouble) -> None:
    gate.after = [s3.lost()]

    assert store.put_new("jobs/j/results/part-00000.jsonl", b"mine")
    assert gate.requests == [
        "s3 head results", *["s3 create results"] * 2, "s3 get results",
    ]  # fmt: skip


def test_put_new__another_came_while_the_answer_was_lost(store: Store, gate: Trouble) -> None:
    gate.before = [s3.lost()]
    other = s3.store_of(store._client._server, Settings())  # type: ignore[attr-defined]
    gate.meanwhile = lambda: other.put("key", b"other")

    assert not store.put_new("key", b"mine")
    assert store.get("key") == b"other"


def test_put_matching__lost_answer(store: Store, gate: Trouble) -> None:
    store.put("key", b"old")
    read = store.find_tagged("key")
    assert read is not None
    gate.after = [s3.lost()]

    assert store.put_matching("key", b"new", read.etag)
    assert store.get("key") == b"new"


@pytest.mark.parametrize("times", [1, 6])
def test_put_new__another_write_is_under_way(store: Store, gate: Trouble, times: int) -> None:
    gate.before = [None, *[s3.error(409), None, None] * times]

    assert store.put_new("key", b"mine")
    assert store.get("key") == b"mine"


def test_put_new__another_write_is_under_way_and_wins(store: Store, gate: Trouble) -> None:
    other = s3.store_of(store._client._server, Settings())  # type: ignore[attr-defined]
    gate.before = [None, s3.error(409)]
    gate.meanwhile = lambda: other.put("key", b"other")

    assert not store.put_new("key", b"mine")


def test_put_new__others_write_all_the_time(store: Store, gate: Trouble) -> None:
    gate.before = [None, *[s3.error(409), None, None] * 7]

    with pytest.raises(StoreError, match="ConditionalRequestConflict"):
        store.put_new("key", b"mine")


def test_put_matching__another_write_is_under_way(store: Store, gate: Trouble) -> None:
    store.put("key", b"old")
    etag = hashlib.md5(b"old").hexdigest()
    gate.before = [None, s3.error(409)]

    assert store.put_matching("key", b"new", etag)
    assert store.get("key") == b"new"


@pytest.mark.parametrize("conditions", ["ignored", "unknown"])
def test_a_store_without_conditions__looks_and_then_writes(
    gate: Trouble, conditions: s3.Conditions
) -> None:
    server = s3.with_bucket(conditions)
    store = s3.store_of(server, Settings(), gate)

    for key in "first", "second":  # it is not known to be so, and then it is
        assert store.put_new(key, b"mine")
        assert not store.put_new(key, b"other")
        assert store.get(key) == b"mine"
        etag = hashlib.md5(b"mine").hexdigest()
        assert store.put_matching(key, b"newer", etag)
        assert not store.put_matching(key, b"other", etag)
        assert store.get(key) == b"newer"
    assert store.conditions("first", b"newer") == (False, False)
    assert store.get("first") == b"newer"


def test_conditions__are_learned_from_the_first_write_of_a_kind(
    store: Store, gate: Trouble
) -> None:
    for key in "one", "two":
        store.put_new(key, b"x")
    assert gate.requests == [
        "s3 head one", "s3 create one", "s3 create one", "s3 create two",
    ]  # fmt: skip
    assert store.conditions("one", b"x") == (True, True)


def test_conditions__nothing_is_made_anew_to_learn_them(store: Store, gate: Trouble) -> None:
    assert store.put_new("first", b"x", lasting=False)
    assert gate.requests == ["s3 head first", "s3 create first"]


def test_conditions__are_set_also_where_they_seem_to_be_ignored(
    store: Store, gate: Trouble
) -> None:
    other = s3.store_of(store._client._server, Settings())  # type: ignore[attr-defined]
    # Somebody removes the object right before it is written once more to learn.
    gate.before = [None, None, s3.lost()]
    gate.meanwhile = lambda: other.delete("first")
    assert store.put_new("first", b"x")
    assert store._holds == {"If-None-Match": False}

    gate.before = [None, s3.lost()]
    gate.meanwhile = lambda: other.put("second", b"other")
    assert not store.put_new("second", b"mine")
    assert store.get("second") == b"other"


def test_busy__passes_or_does_not(store: Store, gate: Trouble) -> None:
    gate.before = [s3.error(503)] * 4
    store.put("key", b"x")
    gate.before = [s3.error(503)] * 5
    with pytest.raises(StoreError, match="SlowDown"):
        store.put("key", b"x")
    gate.before = [s3.lost()] * 5
    with pytest.raises(StoreError, match="cannot be reached"):
        store.put("key", b"x")
    assert len(gate.requests) == 15


def test_refused__is_not_asked_again(store: Store, gate: Trouble) -> None:
    store._client._server.denied.add("regioncap/secret/")  # type: ignore[attr-defined]
    with pytest.raises(StoreError, match="AccessDenied"):
        store.get("secret/x")
    assert gate.requests == ["s3 get secret"]


def test_redis__a_lost_answer_has_the_command_done_twice(
    client: redis.Redis, gate: Trouble
) -> None:
    gate.after = [valkey.lost()]

    assert client.hincrby("regioncap:J:attempts:render:0", "shard", 1) == 2
    assert gate.requests == ["redis hincrby attempts"] * 2


def test_redis__a_start_whose_answer_is_lost_counts_once(
    client: redis.Redis, gate: Trouble
) -> None:
    attempts = Attempts(client, "J", "render", 0)
    gate.after = [valkey.lost(), valkey.lost()]

    assert attempts.start() == 0
    assert attempts.deaths() == 1
    attempts.forgive()
    assert attempts.deaths() == 0


def test_redis__away(client: redis.Redis, gate: Trouble) -> None:
    gate.before = [valkey.lost()] * 4
    with pytest.raises(redis.ConnectionError):
        client.get("x")
    assert Attempts(client, "J", "render", 0).start() == 0


def test_workers_have_one_visibility_timeout(client: redis.Redis) -> None:
    worker = {"kind": "render", "host": "h", "pid": 7, "since": 1.0}
    client.set("regioncap:worker:render:h:7", json.dumps(worker))  # of a version that tells none
    check_timeout(client, 60.0)
    client.set("regioncap:worker:render:h:7", json.dumps(worker | {"visibility_timeout_s": 60.0}))
    check_timeout(client, 60.0)
    with pytest.raises(UsageError, match="render worker 7 on h") as caught:
        check_timeout(client, 120.0)
    assert caught.value.code == "other-timeout"


def test_redis__as_it_was_a_second_ago(client: redis.Redis) -> None:
    assert isinstance(client, valkey.Client)
    client.hset("h", "a", "1")
    then = client.server.snapshot()
    client.hset("h", "a", "2")
    client.set("new", "x")

    client.server.restore(then)

    assert client.hgetall("h") == {"a": "1"}
    assert not client.exists("new")
