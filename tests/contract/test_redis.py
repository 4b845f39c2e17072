"""What is relied on of Redis: the embedded Valkey, and the one in memory of simulations."""

from __future__ import annotations

import time
from collections.abc import Iterator
from functools import partial
from typing import Any

import pytest
import redis
from hypothesis import given
from hypothesis import settings as hypothesis_settings
from hypothesis import strategies as st

from regioncap.services.attempts import Attempts
from regioncap.services.broker import connect, server_time
from regioncap.services.claims import UNACKED, Claim, ShardName, allow_second, is_claimed
from regioncap.services.lives import LIVES, Lives, Start
from regioncap.services.progress import Progress
from regioncap.services.spending import Spending
from regioncap.settings import load_settings
from tests.simulation.valkey import Client, Server

JOB = "20260101-000000-cccccc"


@pytest.fixture(params=["valkey", "memory"])
def client(request: pytest.FixtureRequest) -> Iterator[redis.Redis]:
    if request.param == "memory":
        yield Client(Server(time.time))
        return
    with connect(load_settings(**request.getfixturevalue("stack_settings"))) as client:
        yield client
        client.delete(*client.keys(f"regioncap:{JOB}:*") or ["none"], "held")


def summary(failed: int) -> dict[str, Any]:
    return {"sha256": "ab" * 32, "counts": {"records": 4, "failed": failed}}


def test_a_part_counts_once_whatever_it_was_before(client: redis.Redis) -> None:
    progress = Progress(client, JOB)

    assert [progress.note_part(0, summary(1)), progress.note_part(0, summary(1))] == [1, 1]
    assert progress.note_part(3, summary(0)) == 2
    assert progress.note_part(0, summary(2)) == 2

    assert progress.counts() == {"shards": 2, "records": 8, "failed": 2}
    assert progress.parts([0, 1, 3]) == [summary(2), None, summary(0)]
    assert (progress.failed(), progress.done()) == ({0}, {0, 3})
    progress.forget_part(0)
    progress.forget_part(0)
    assert progress.counts() == {"shards": 1, "records": 4, "failed": 0}


def test_what_is_spent_adds_up_unless_the_sum_is_lost(client: redis.Redis) -> None:
    spending = Spending(client, JOB)

    spending.add(5)
    assert spending.read_ms() is None
    assert (spending.begin(40), spending.begin(70)) == (40, 40)
    spending.add(2)

    assert spending.read_ms() == 42
    assert 0 < int(client.ttl(f"regioncap:{JOB}:spent")) <= 7 * 24 * 3600


def test_rendered_shards_and_what_is_let_go(client: redis.Redis) -> None:
    progress = Progress(client, JOB)
    for shard in (0, 9, 9):
        progress.note_rendered(shard)

    assert progress.rendered() == 2
    progress.expire()
    assert 0 < int(client.ttl(f"regioncap:{JOB}:rendered")) <= 24 * 3600
    progress.keep()
    assert client.ttl(f"regioncap:{JOB}:rendered") == -1
    progress.drop()
    assert progress.rendered() == 0


def test_types_of_keys(client: redis.Redis) -> None:
    key = f"regioncap:{JOB}:any"
    assert client.type(key) == "none"
    for kind, command in {
        "string": ("SETBIT", key, "3", "1"),
        "hash": ("HSET", key, "a", "1"),
        "zset": ("ZADD", key, "1", "a"),
        "list": ("LPUSH", key, "a"),
    }.items():
        client.execute_command(*command)  # type: ignore[no-untyped-call]
        assert client.type(key) == kind
        client.delete(key)


def test_attempts(client: redis.Redis) -> None:
    attempts = Attempts(client, JOB, "render", 1)

    assert [attempts.start(), attempts.start(), attempts.start("7")] == [0, 1, 0]
    attempts.forgive()
    assert attempts.deaths() == 1
    attempts.clear()
    assert attempts.deaths() == 0


def test_a_claim_holds_for_as_long_as_its_delivery_is_in_hand(client: redis.Redis) -> None:
    tags = [f"{JOB}-{nth}" for nth in range(3)]
    first, second, third = (Claim(client, JOB, "caption", 1, tag, timeout_s=30) for tag in tags)
    client.hset(UNACKED, mapping=dict.fromkeys(tags, "[]"))

    assert first.take()
    assert first.take()
    assert not second.take()
    assert is_claimed(client, JOB, "caption", 1)
    client.hdel(UNACKED, tags[0])  # given back, whoever did it
    assert not is_claimed(client, JOB, "caption", 1)
    assert second.take()
    first.keep()  # too late: somebody else does it
    first.release()
    assert is_claimed(client, JOB, "caption", 1)
    second.release()
    second.keep()
    assert not is_claimed(client, JOB, "caption", 1)

    for _ in range(2):
        assert first.take()  # Redis knows nothing of it any more
    assert 0 < int(client.ttl(f"regioncap:claim:{JOB}:caption:1")) <= 30
    assert not third.take()
    first.keep()
    first.release()
    assert third.take()
    client.delete(UNACKED, f"regioncap:claim:{JOB}:caption:1")
    third.keep()
    assert not second.take()
    third.release()


def test_a_second_claim_is_one_more_and_no_third(client: redis.Redis) -> None:
    tags = [f"{JOB}-{nth}" for nth in range(4)]
    first, second, third, fourth = (
        Claim(client, JOB, "caption", 2, tag, timeout_s=30) for tag in tags
    )
    client.hset(UNACKED, mapping=dict.fromkeys(tags, "[]"))
    queue = f"caption.{JOB}"
    allow = partial(allow_second, client, queue, "message", ShardName(JOB, "caption", 2))

    assert not allow()  # nobody does it yet
    assert first.take(as_second=True)
    assert not first.is_second
    assert not second.take(as_second=True)  # nobody has allowed it
    assert allow()
    assert not allow()
    assert client.lrange(queue, 0, -1) == ["message"]
    assert 0 < int(client.ttl(f"regioncap:claim:{JOB}:caption:2:2")) <= 600  # if nobody comes
    assert not second.take()  # the one that holds it gets the message
    assert second.take(as_second=True)
    assert second.is_second
    assert not third.take(as_second=True)

    client.hdel(UNACKED, tags[1])  # the second's worker has died
    assert third.take(as_second=True)
    third.keep()
    assert third.is_second
    first.release()
    assert fourth.take()
    assert not fourth.is_second
    third.release()
    fourth.release()
    client.delete(UNACKED, queue)
    claim = f"regioncap:claim:{JOB}:caption:2"
    assert not client.exists(claim, f"{claim}:2")


def _ago(client: redis.Redis, lives: Lives, seconds: float) -> Start:
    """A start of a process that was seen last so long ago."""
    at = server_time(client) - seconds
    client.zadd(LIVES, {lives.name: at})
    return Start(lives.name, at - 5)


def test_deaths_that_count(client: redis.Redis) -> None:
    client.delete(LIVES)
    me, *others = (Lives(client, 30, host) for host in "aaabc")
    me.touch()
    assert server_time(client) - float(str(client.zscore(LIVES, me.name))) < 5

    alone = [_ago(client, others[0], 100), _ago(client, others[1], 200)]
    assert me.blamed(alone, 2) == 2
    assert me.blamed(alone[:1], 2) == 1
    assert me.blamed([Start("", 0), Start("", 0)], 2) == 2  # of a version that noted a number

    _ago(client, others[2], 205)  # another host died with the second
    assert me.blamed(alone, 2) == 1
    assert me.blamed(alone * 3, 2) == 6  # and yet: it is always there
    others[2].leave()
    assert me.blamed(alone, 2) == 2

    others[3].touch()  # lives elsewhere: so it may be the host
    assert me.blamed(alone, 2) == 1
    far = [*alone, _ago(client, others[2], 300)]
    assert me.blamed(far, 2) == 3
    client.delete(LIVES)


def test_who_runs_a_suspect_alone_excuses_nobody(client: redis.Redis) -> None:
    lives = Lives(client, 30)
    lives.is_alone = True
    lives.touch()
    assert client.zscore(LIVES, lives.name) is None


def test_a_lock_is_one_s_until_it_expires(client: redis.Redis) -> None:
    lock = client.lock("held", timeout=0.2)

    assert lock.acquire(blocking=False)
    assert not client.lock("held", timeout=5).acquire(blocking=False)
    time.sleep(0.3)
    other = client.lock("held", timeout=5)
    assert other.acquire(blocking=False)
    with pytest.raises(redis.exceptions.LockNotOwnedError):
        lock.release()
    other.release()
    assert not client.exists("held")


def test_a_transaction_begins_anew_when_what_it_watches_changes(client: redis.Redis) -> None:
    key = f"regioncap:{JOB}:watched"
    client.hset(key, "n", "1")
    looks = []

    def change(pipe: Any) -> None:
        looks.append(pipe.hget(key, "n"))
        if len(looks) == 1:
            client.hset(key, "n", "2")
        pipe.multi()
        pipe.hincrby(key, "n", 10)

    assert client.transaction(change, key) == [12]
    assert looks == ["1", "2"]


def test_members_by_score(client: redis.Redis) -> None:
    key = f"regioncap:{JOB}:scores"
    client.zadd(key, {"a": 1.5, "b": 2.5, "c": 3.5})

    found: Any = client.zrange(
        key,
        3.0,
        0,
        desc=True,
        byscore=True,
        withscores=True,
    )
    assert [tuple(each) for each in found] == [("b", 2.5), ("a", 1.5)]


_KEY = st.sampled_from(["s", "t"])
_FIELD = st.sampled_from(["a", "b", "c"])
_TEXT = st.sampled_from(["", "x", "7"])
_AT = st.integers(-3, 3)
_SCORE = st.sampled_from([0.5, 1.0, 2.0])


def _words(name: str, *words: st.SearchStrategy[Any] | str) -> st.SearchStrategy[tuple[Any, ...]]:
    parts = [st.just(word) if isinstance(word, str) else word for word in words]
    return st.tuples(st.just(name), *parts)


#: Commands on keys of one kind each, as the product has them.
_COMMANDS = st.one_of(
    _words("HSET", "hash", _FIELD, _TEXT), _words("HGET", "hash", _FIELD),
    _words("HMGET", "hash", _FIELD, _FIELD), _words("HDEL", "hash", _FIELD, _FIELD),
    _words("HLEN", "hash"), _words("HINCRBY", "numbers", _FIELD, _AT),
    _words("HGETALL", "numbers"), _words("EXISTS", "hash", "list"),
    _words("LPUSH", "list", _TEXT), _words("RPUSH", "list", _TEXT, _TEXT), _words("RPOP", "list"),
    _words("LLEN", "list"), _words("LINDEX", "list", _AT), _words("LRANGE", "list", _AT, _AT),
    _words("ZADD", "set", _SCORE, _FIELD), _words("ZADD", "set", "XX", "CH", _SCORE, _FIELD),
    _words("ZADD", "set", "NX", _SCORE, _FIELD),
    _words("ZREM", "set", _FIELD, _FIELD), _words("ZSCORE", "set", _FIELD), _words("ZCARD", "set"),
    _words("ZRANGE", "set", "0", "-1"), _words("ZSCAN", "set", "0"),
    _words("ZRANGE", "set", "-inf", _SCORE, "BYSCORE", "LIMIT", "0", "2"),
    _words("ZRANGE", "set", _SCORE, "0", "BYSCORE", "REV", "LIMIT", "0", "2"),
    _words("SET", _KEY, _TEXT), _words("SET", _KEY, _TEXT, "NX", "PX", "100000"),
    _words("GET", _KEY), _words("MGET", "s", "t", "u"), _words("DEL", _KEY, "hash"),
    _words("SETBIT", "bits", st.integers(0, 20), "1"), _words("BITCOUNT", "bits"),
    _words("EXPIRE", _KEY, "100"), _words("PERSIST", _KEY), _words("TTL", _KEY),
)  # fmt: skip


@pytest.fixture(scope="module")
def real(stack_settings: dict[str, str]) -> Iterator[redis.Redis]:
    """A database of its own on the real server."""
    with connect(load_settings(broker_url=f"{stack_settings['broker_url'][:-1]}1")) as client:
        yield client
        client.flushdb()


@given(commands=st.lists(_COMMANDS, max_size=30))
@hypothesis_settings(max_examples=200)
def test_both_servers_give_the_same_answers(
    real: redis.Redis, commands: list[tuple[Any, ...]]
) -> None:
    real.flushdb()
    said = [[_say(c, *command) for command in commands] for c in (real, Client(Server(time.time)))]

    assert said[0] == said[1]


def _say(client: redis.Redis, *command: Any) -> Any:
    said = client.execute_command(*command)  # type: ignore[no-untyped-call]
    if command[0] == "ZSCAN":  # in any order
        cursor, members = said
        return cursor, sorted(members)
    return sorted(said.items()) if isinstance(said, dict) else said
