"""A Redis in memory: the commands that the product, Celery's kombu and redis-py's lock use.

Contract tests send the same commands to it and to the real Valkey. Its scripts run in real Lua.
"""

from __future__ import annotations

import copy
import fnmatch
import hashlib
import json
import math
from collections.abc import Callable, Iterable
from functools import cache
from typing import Any, TypeVar, cast

import lupa.lua51
import redis
from redis.client import NEVER_DECODE, Pipeline

from tests.simulation.gate import Gate, ask

#: As redis-py does unless it is told otherwise.
_PAUSES_S = (0.5, 1.0, 2.0)
#: Options of a command that say what follows them.
_WITH_VALUE = {"EX", "PX", "COUNT", "MATCH"}

Z = TypeVar("Z", bound="dict[str, Any] | list[str] | set[str] | bytearray")


class Server:
    """The data, and commands by their names in lower case; replies are those of RESP2.

    Args:
        now: The time, seconds since the epoch.
    """

    def __init__(self, now: Callable[[], float]) -> None:
        self._now = now
        self._values: dict[str, Any] = {}
        self._expire_s: dict[str, float] = {}
        #: How often each key was written: what WATCH compares.
        self._writes: dict[str, int] = {}
        self._scripts: dict[str, str] = {}
        #: Told of a list or a sorted set that got something.
        self.on_push: Callable[[str], None] = lambda _: None

    def call(self, *words: Any) -> Any:
        """Does one command.

        Raises:
            redis.ResponseError: There is no such command, or the key holds another kind of value.
        """
        name, *rest = [_text(word) for word in words]
        parts = name.split()
        method = getattr(self, f"do_{'_'.join(parts).lower()}", None)
        if method is None:
            raise redis.ResponseError(f"unknown command {name!r}")
        return method(*rest)

    def version(self, key: str) -> int:
        """Differs after each write of a key."""
        return self._writes.get(key, 0)

    def snapshot(self) -> Any:
        """All data as it is."""
        return copy.deepcopy((self._values, self._expire_s))

    def restore(self, snapshot: Any) -> None:
        """Makes the data as they were."""
        keys = set(self._values)
        self._values, self._expire_s = copy.deepcopy(snapshot)
        for key in keys | set(self._values):
            self._wrote(key)
            self.on_push(key)

    # Strings

    def do_get(self, key: str) -> str | bytes | None:
        if self._there(key) and isinstance(self._values[key], bytearray):
            return bytes(self._values[key])
        return cast("str | None", self._peek(key, str))

    def do_mget(self, *keys: str) -> list[str | None]:
        found = (self._values.get(key) for key in keys if self._there(key) or True)
        return [value if isinstance(value, str) else None for value in found]

    def do_set(self, key: str, value: str, *words: str) -> str | None:
        options = _options(words)
        if "NX" in options and self._there(key):
            return None
        self.do_del(key)
        self._values[key] = value
        self._wrote(key)
        if "EX" in options or "PX" in options:
            seconds = float(options.get("EX") or 0) + float(options.get("PX") or 0) / 1000
            self._expire_s[key] = self._now() + seconds
        return "OK"

    def do_setbit(self, key: str, offset: str, bit: str) -> int:
        bits = self._own(key, bytearray)
        at, mask = int(offset) // 8, 0x80 >> int(offset) % 8
        bits.extend(bytes(max(0, at + 1 - len(bits))))
        before = bool(bits[at] & mask)
        bits[at] = bits[at] | mask if bit == "1" else bits[at] & ~mask
        return int(before)

    def do_getbit(self, key: str, offset: str) -> int:
        at, mask = int(offset) // 8, 0x80 >> int(offset) % 8
        bits = self._bits(key)
        return int(at < len(bits) and bool(bits[at] & mask))

    def do_bitcount(self, key: str) -> int:
        return sum(byte.bit_count() for byte in self._bits(key))

    def do_bitpos(self, key: str, bit: str, start: str = "0") -> int:
        assert bit == "1"
        bits = self._bits(key)
        for at in range(int(start), len(bits)):
            if bits[at]:
                return 8 * at + 8 - bits[at].bit_length()
        return -1

    def do_bitop(self, operation: str, key: str, *keys: str) -> int:
        assert operation == "OR"
        each = [self._bits(name) for name in keys]
        bits = bytearray(max(map(len, each)))
        for at, byte in ((at, byte) for some in each for at, byte in enumerate(some)):
            bits[at] |= byte
        self.do_del(key)
        if bits:
            self._own(key, bytearray)[:] = bits
        return len(bits)

    def do_getrange(self, key: str, first: str, last: str) -> bytes:
        return self._bits(key)[int(first) : int(last) + 1]

    # Sets

    def do_sadd(self, key: str, *members: str) -> int:
        own = self._own(key, set)
        new = set(members) - own
        own.update(new)
        return len(new)

    def do_smembers(self, key: str) -> list[str]:
        return sorted(self._peek(key, set) or ())

    # Keys

    def do_del(self, *keys: str) -> int:
        there = [key for key in dict.fromkeys(keys) if self._there(key)]
        for key in there:
            del self._values[key]
            self._expire_s.pop(key, None)
            self._wrote(key)
        return len(there)

    def do_type(self, key: str) -> str:
        if not self._there(key):
            return "none"
        value = self._values[key]
        if isinstance(value, dict):  # a score is a number, and a field's value is text
            return "zset" if all(isinstance(each, float) for each in value.values()) else "hash"
        return "list" if isinstance(value, list) else "set" if isinstance(value, set) else "string"

    def do_exists(self, *keys: str) -> int:
        return sum(self._there(key) for key in keys)

    def do_expire(self, key: str, seconds: str) -> int:
        if self._there(key):
            self._expire_s[key] = self._now() + int(seconds)
            return 1
        return 0

    def do_persist(self, key: str) -> int:
        return int(self._there(key) and self._expire_s.pop(key, None) is not None)

    def do_ttl(self, key: str) -> int:
        if not self._there(key):
            return -2
        return round(self._expire_s[key] - self._now()) if key in self._expire_s else -1

    def do_scan(self, _cursor: str, *words: str) -> list[Any]:
        pattern = _options(words).get("MATCH", "*")
        found = [key for key in list(self._values) if self._there(key)]
        return ["0", fnmatch.filter(found, pattern)]

    def do_flushdb(self) -> str:
        self.do_del(*list(self._values))
        return "OK"

    do_flushall = do_flushdb

    # Hashes

    def do_hset(self, key: str, *words: str) -> int:
        fields = self._own(key, dict)
        pairs = dict(zip(words[::2], words[1::2], strict=True))
        new = len(pairs.keys() - fields.keys())
        fields.update(pairs)
        return new

    def do_hget(self, key: str, field: str) -> str | None:
        return self._fields(key).get(field)

    def do_hexists(self, key: str, field: str) -> int:
        return int(field in self._fields(key))

    def do_hmget(self, key: str, *fields: str) -> list[str | None]:
        return [self._fields(key).get(field) for field in fields]

    def do_hgetall(self, key: str) -> list[str]:
        return [word for pair in self._fields(key).items() for word in pair]

    def do_hkeys(self, key: str) -> list[str]:
        return list(self._fields(key))

    def do_hlen(self, key: str) -> int:
        return len(self._fields(key))

    def do_hdel(self, key: str, *fields: str) -> int:
        there = [field for field in dict.fromkeys(fields) if field in self._fields(key)]
        for field in there:
            del self._own(key, dict)[field]
        self._drop_empty(key)
        return len(there)

    def do_hincrby(self, key: str, field: str, number: str) -> int:
        fields = self._own(key, dict)
        fields[field] = str(int(fields.get(field, "0")) + int(number))
        return int(fields[field])

    def do_hscan(self, key: str, _cursor: str, *_words: str) -> list[Any]:
        return ["0", self.do_hgetall(key)]

    # Lists

    def do_lpush(self, key: str, *values: str) -> int:
        items = self._own(key, list)
        for value in values:
            items.insert(0, value)
        self.on_push(key)
        return len(items)

    def do_rpush(self, key: str, *values: str) -> int:
        items = self._own(key, list)
        items.extend(values)
        self.on_push(key)
        return len(items)

    def do_rpop(self, key: str) -> str | None:
        if not self._items(key):
            return None
        item = self._own(key, list).pop()
        self._drop_empty(key)
        return cast(str, item)

    def do_llen(self, key: str) -> int:
        return len(self._items(key))

    def do_lindex(self, key: str, at: str) -> str | None:
        items = self._items(key)
        return items[int(at)] if -len(items) <= int(at) < len(items) else None

    def do_lrange(self, key: str, first: str, last: str) -> list[str]:
        items = self._items(key)
        start, stop = (int(n) + len(items) if int(n) < 0 else int(n) for n in (first, last))
        return items[max(0, start) : stop + 1]

    # Sorted sets

    def do_zadd(self, key: str, *words: str) -> int:
        flags = set(words) & {"XX", "NX", "CH"}
        rest = [word for word in words if word not in flags]
        scores: dict[str, float] = dict(self._peek(key, dict) or {})
        pairs = {member: float(score) for score, member in zip(rest[::2], rest[1::2], strict=True)}
        if "XX" in flags:
            pairs = {member: score for member, score in pairs.items() if member in scores}
        if "NX" in flags:
            pairs = {member: score for member, score in pairs.items() if member not in scores}
        new = len(pairs.keys() - scores.keys())
        changed = sum(scores.get(member) != score for member, score in pairs.items())
        if pairs:
            self._own(key, dict).update(pairs)
            self.on_push(key)
        return changed if "CH" in flags else new

    def do_zremrangebyscore(self, key: str, low: str, high: str) -> int:
        scores: dict[str, float] = self._peek(key, dict) or {}
        out = [member for member, score in scores.items() if float(low) <= score <= float(high)]
        return self.do_hdel(key, *out) if out else 0

    def do_zrem(self, key: str, *members: str) -> int:
        return self.do_hdel(key, *members)

    def do_zscore(self, key: str, member: str) -> str | None:
        score = (self._peek(key, dict) or {}).get(member)
        return None if score is None else repr(score)

    def do_zcard(self, key: str) -> int:
        return len(self._fields(key))

    def do_zrange(self, key: str, first: str, last: str, *words: str) -> list[str]:
        scores: dict[str, float] = self._peek(key, dict) or {}
        ranked = sorted(scores, key=lambda member: (scores[member], member))
        rest = [word.upper() for word in words]
        if "BYSCORE" in rest:
            low, high = (last, first) if "REV" in rest else (first, last)
            ranked = [m for m in ranked if float(low) <= scores[m] <= float(high)]
        if "REV" in rest:
            ranked.reverse()
        if "LIMIT" in rest:
            start, count = (int(word) for word in rest[rest.index("LIMIT") + 1 :][:2])
            ranked = ranked[start : start + count if count >= 0 else None]
        elif "BYSCORE" not in rest:
            stop = int(last) + len(ranked) if int(last) < 0 else int(last)
            ranked = ranked[int(first) : stop + 1]
        if "WITHSCORES" in rest:
            return [word for member in ranked for word in (member, repr(scores[member]))]
        return ranked

    def do_zscan(self, key: str, _cursor: str, *_words: str) -> list[Any]:
        scores: dict[str, float] = self._peek(key, dict) or {}
        return ["0", [word for member in scores for word in (member, repr(scores[member]))]]

    # The rest

    def do_time(self) -> list[str]:
        seconds = math.floor(self._now())
        return [str(seconds), str(int((self._now() - seconds) * 1e6))]

    def do_ping(self) -> str:
        return "PONG"

    def do_eval(self, script: str, numkeys: str, *words: str) -> Any:
        count = int(numkeys)
        return _run_lua(script, words[:count], words[count:], self.call)

    def do_script_load(self, script: str) -> str:
        sha = hashlib.sha1(script.encode(), usedforsecurity=False).hexdigest()
        self._scripts[sha] = script
        return sha

    def do_evalsha(self, sha: str, numkeys: str, *words: str) -> Any:
        if sha not in self._scripts:
            raise redis.exceptions.NoScriptError("No matching script.")
        return self.do_eval(self._scripts[sha], numkeys, *words)

    def _there(self, key: str) -> bool:
        if self._expire_s.get(key, math.inf) <= self._now():
            self._values.pop(key, None)
            self._expire_s.pop(key, None)
            self._wrote(key)
        return key in self._values

    def _wrote(self, key: str) -> None:
        self._writes[key] = self._writes.get(key, 0) + 1

    def _peek(self, key: str, kind: type[Any]) -> Any:
        if not self._there(key):
            return None
        if not isinstance(self._values[key], kind):
            raise redis.ResponseError("WRONGTYPE another kind of value")
        return self._values[key]

    def _bits(self, key: str) -> bytes:
        """A string as bits; those of text are the bytes that it was given as."""
        if not self._there(key):
            return b""
        value = self._values[key]
        return (
            value.encode("latin-1") if isinstance(value, str) else bytes(self._peek(key, bytearray))
        )

    def _own(self, key: str, kind: type[Z]) -> Z:
        """A value to write to."""
        if self._peek(key, kind) is None:
            self._values[key] = kind()
        self._wrote(key)
        return cast(Z, self._values[key])

    def _fields(self, key: str) -> dict[str, str]:
        return self._peek(key, dict) or {}

    def _items(self, key: str) -> list[str]:
        return self._peek(key, list) or []

    def _drop_empty(self, key: str) -> None:
        if self._there(key) and not self._values[key]:
            self.do_del(key)


def is_passing(failure: Exception) -> bool:
    """Whether redis-py tries again after it."""
    return isinstance(failure, redis.ConnectionError | redis.TimeoutError)


def lost() -> Exception:
    """What redis-py raises when a connection breaks."""
    return redis.ConnectionError("Connection closed by server.")


class Client(redis.Redis):
    """redis-py's client before a server in memory.

    Args:
        server: Whom it asks.
        gate: What each attempt passes.
    """

    def __init__(self, server: Server, gate: Gate | None = None) -> None:
        vars(self).update(_fresh())  # to make it anew takes milliseconds
        self.server = server
        self.gate = gate or Gate()

    def execute_command(self, *args: Any, **options: Any) -> Any:
        """Does one command."""
        reply = ask(self.gate, _named(args), lambda: self.server.call(*args), is_passing, _PAUSES_S)
        return self._read(args, options, reply)

    def pipeline(self, transaction: bool = True, shard_hint: Any = None) -> _Pipe:
        """Several commands in one request."""
        return _Pipe(self, transaction)

    def _read(self, args: Iterable[Any], options: dict[str, Any], reply: Any) -> Any:
        name = next(iter(args))
        options.pop("keys", None)
        if options.pop(NEVER_DECODE, False):
            return reply.encode("latin-1") if isinstance(reply, str) else reply
        return (
            self.response_callbacks[name](reply, **options)
            if (name in self.response_callbacks)
            else reply
        )


@cache
def _fresh() -> dict[str, Any]:
    return vars(redis.Redis(decode_responses=True, protocol=2))


class _Pipe(Pipeline):
    """A pipeline of `Client`'s; all its commands have their effects at once."""

    def __init__(self, client: Client, transaction: bool) -> None:
        super().__init__(client.connection_pool, client.response_callbacks, transaction, None)
        self._client = client
        self._watched: dict[str, int] = {}

    def immediate_execute_command(self, *args: Any, **options: Any) -> Any:
        """Does one command before the transaction begins."""
        if args[0] == "WATCH":
            self.watching = True
            self._watched |= {str(key): self._client.server.version(str(key)) for key in args[1:]}
            return True
        return self._client.execute_command(*args, **options)

    def execute(self, raise_on_error: bool = True) -> list[Any]:
        """Does what was gathered."""
        commands = list(self.command_stack)
        try:
            if not commands:
                return []
            return self._ask(commands)
        finally:
            self.reset()
            self._watched.clear()

    def _ask(self, commands: list[Any]) -> list[Any]:
        client = self._client
        named = "+".join(_named(args).removeprefix("redis ") for args, _ in commands[:3])

        def effect() -> list[Any]:
            versions = {key: client.server.version(key) for key in self._watched}
            if versions != self._watched:
                raise redis.WatchError("Watched variable changed.")
            return [client.server.call(*args) for args, _ in commands]

        def passes(failure: Exception) -> bool:
            if self._watched and is_passing(failure):
                raise redis.WatchError("an error while watching") from failure
            return is_passing(failure)

        replies = ask(client.gate, f"redis {named}", effect, passes, _PAUSES_S)
        return [
            client._read(args, options, reply)
            for (args, options), reply in zip(commands, replies, strict=True)
        ]


def _named(args: tuple[Any, ...]) -> str:
    """A request's name: the command and what kind of key it is about."""
    name = str(args[0]).lower()
    at = 3 if name in {"eval", "evalsha"} else 1
    key = str(args[at]) if len(args) > at else ""
    parts = key.split(":")
    if parts[0] != "regioncap":
        kind = key if name not in {"script load", "scan"} else ""
    elif len(parts) > 2 and parts[1] not in {"janitor", "turns", "claim"}:
        kind = parts[2]  # regioncap:JOB:KIND
    else:
        kind = ":".join(parts[1:2])
    return f"redis {name} {kind}".rstrip()


def _text(word: Any) -> str:
    if isinstance(word, bytes):
        return word.decode("latin-1")
    return repr(word) if isinstance(word, float) else str(word)


def _options(words: Iterable[str]) -> dict[str, str]:
    """Options of a command, by name."""
    found, rest = {}, iter(words)
    for word in rest:
        name = word.upper()
        found[name] = next(rest) if name in _WITH_VALUE else ""
    return found


@cache
def _lua() -> Any:
    return lupa.lua51.LuaRuntime(unpack_returned_tuples=True)


@cache
def _compiled(script: str) -> Any:
    return _lua().execute(f"return function(KEYS, ARGV, redis, cjson) {script}\nend")


def _run_lua(
    script: str, keys: Iterable[str], arguments: Iterable[str], call: Callable[..., Any]
) -> Any:
    lua = _lua()

    def from_lua(*words: Any) -> Any:
        texts = [str(int(w)) if isinstance(w, float) and w.is_integer() else w for w in words]
        reply = call(*texts)
        if reply is None:
            return False
        return lua.table_from(reply) if isinstance(reply, list) else reply

    def decode(text: str) -> Any:
        return lua.table_from(json.loads(text), recursive=True)

    reply = _compiled(script)(
        lua.table_from(list(keys)),
        lua.table_from(list(arguments)),
        lua.table_from({"call": from_lua}),
        lua.table_from({"decode": decode}),
    )
    return None if reply is False else int(reply) if isinstance(reply, float | bool) else reply
