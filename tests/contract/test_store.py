"""What is relied on of an object store: the embedded one, moto's, and the one of simulations."""

from __future__ import annotations

import hashlib
import os
import time
import uuid
from collections.abc import Callable, Iterator
from concurrent.futures import ThreadPoolExecutor
from datetime import UTC, datetime

import pytest
from hypothesis import given
from hypothesis import settings as hypothesis_settings
from hypothesis import strategies as st

from regioncap.errors import NotFoundError, StoreError
from regioncap.services.store import Store
from regioncap.settings import Settings, load_settings
from tests.simulation.gate import Gate
from tests.simulation.s3 import store_of, with_bucket
from tests.support.moto_store import moto_store

Make = Callable[..., Store]


class _RealTime(Gate):
    """A gate by the real clock."""

    def now_s(self) -> float:
        return time.time()


SERVERS = [
    "seaweedfs", "a folder of seaweedfs", "memory", pytest.param("moto", marks=pytest.mark.more),
]  # fmt: skip


@pytest.fixture(scope="module", params=SERVERS)
def make(request: pytest.FixtureRequest) -> Iterator[Make]:
    """Makes a store on one server, with other settings if wanted."""
    if request.param == "moto":
        with moto_store() as found:
            Store(load_settings(**found)).ensure_bucket()
            yield lambda **changed: Store(load_settings(**found | changed))
        return
    if request.param == "memory":
        server = with_bucket()
        yield lambda **changed: store_of(server, Settings(**changed), _RealTime())
        return
    settings = load_settings(**request.getfixturevalue("stack_settings"))
    if request.param != "seaweedfs":
        settings = settings.model_copy(update={"s3_prefix": "a-team/of+ours"})
    yield lambda **changed: Store(settings.model_copy(update=changed))


@pytest.fixture(scope="module")
def store(make: Make) -> Store:
    return make()


def test_put_get_find_delete(store: Store) -> None:
    key, data = "test/a b+ü.bin", os.urandom(100_000)

    store.put(key, data)

    assert store.get(key) == store.find(key) == data
    assert store.exists(key)
    store.delete(key)
    store.delete(key)
    assert not store.exists(key)
    assert store.find(key) is None
    with pytest.raises(NotFoundError, match="a b"):
        store.get(key)


def test_put__replaces_the_whole_object(store: Store) -> None:
    store.put("test/twice", b"a long first version")
    store.put("test/twice", b"short")

    assert store.get("test/twice") == b"short"


def test_put__empty_objects_are_objects(store: Store) -> None:
    store.put("test/empty", b"")

    assert store.exists("test/empty")
    assert store.get("test/empty") == b""
    assert store.get("test/empty", limit_bytes=1000) == b""


def test_get__reads_no_more_than_needed_to_see_that_it_is_too_long(store: Store) -> None:
    store.put("test/long", bytes(5000))

    assert len(store.get("test/long", limit_bytes=1000)) == 1001
    assert len(store.get("test/long", limit_bytes=9000)) == 5000


def test_get__from_another_bucket(store: Store) -> None:
    with pytest.raises(NotFoundError):
        store.get_uri("s3://nowhere/x")


def test_list__in_order_and_by_folder(store: Store) -> None:
    for key in ("test/list/b", "test/list/a/1", "test/list/a/2"):
        store.put(key, key.encode())

    everything = list(store.list_keys("test/list/"))

    assert everything == ["test/list/a/1", "test/list/a/2", "test/list/b"]
    assert set(store.list_keys("test/list/", recursive=False)) == {"test/list/a/", "test/list/b"}
    stored = list(store.list_stored("test/list/"))
    assert [each.key for each in stored] == everything
    assert [each.size_bytes for each in stored] == [13, 13, 11]
    assert list(store.list_keys("test/no such/")) == []


def test_modified__when_it_was_written_and_touched(store: Store) -> None:
    store.put("test/time", b"x")
    first = store.modified("test/time")
    assert first is not None
    assert abs((datetime.now(UTC) - first).total_seconds()) < 60
    time.sleep(1.1)  # they are kept to the second
    store.touch("test/time")

    touched = store.modified("test/time")
    assert touched is not None
    assert touched > first
    assert store.get("test/time") == b"x"
    assert store.modified("test/no such") is None
    with pytest.raises(NotFoundError):
        store.touch("test/no such")


def test_delete_all(store: Store) -> None:
    names = [f"test/all/{n}" for n in range(3)]
    for name in names:
        store.put(name, b"x")

    assert store.delete_all(names) == 3
    assert list(store.list_keys("test/all/")) == []


def test_put_new__the_first_stays(store: Store) -> None:
    assert store.put_new("test/new", b"first")
    assert not store.put_new("test/new", b"second")
    assert store.get("test/new") == b"first"


def test_put_new__what_stands_already_is_as_good_as_written(store: Store) -> None:
    store.put("test/new twice", b"same")

    assert store.put_new("test/new twice", b"same")


def test_put_matching__replaces_what_was_read_and_nothing_else(store: Store) -> None:
    store.put("test/match", b"one")
    read = store.find_tagged("test/match")
    assert read is not None
    assert read.data == b"one"

    assert store.put_matching("test/match", b"two", read.etag)
    assert not store.put_matching("test/match", b"three", read.etag)
    assert store.get("test/match") == b"two"
    assert store.put_matching("test/match", b"two", read.etag)  # it stands


def test_put_matching__makes_nothing_anew(store: Store) -> None:
    store.put("test/gone", b"one")
    read = store.find_tagged("test/gone")
    assert read is not None
    store.delete("test/gone")

    assert not store.put_matching("test/gone", b"two", read.etag)
    assert store.find_tagged("test/gone") is None


def test_an_etag_names_the_bytes(store: Store) -> None:
    store.put("test/etag", b"bytes")
    read = store.find_tagged("test/etag")

    assert read is not None
    assert read.etag == hashlib.md5(b"bytes").hexdigest()


@pytest.mark.parametrize("kind", ["new", "matching"])
def test_conditional_puts_at_once__one_stands(
    request: pytest.FixtureRequest, store: Store, kind: str
) -> None:
    if request.node.callspec.params["make"] == "moto":
        pytest.skip("moto looks at the condition and writes then, each request in a thread")
    for n in range(3):
        key = f"test/race/{kind}/{n}"
        if kind == "matching":
            store.put(key, b"before")
        etag = hashlib.md5(b"before").hexdigest()

        def put(data: bytes, key: str = key, etag: str = etag) -> bool:
            if kind == "new":
                return store.put_new(key, data) is not None
            return store.put_matching(key, data, etag) is not None

        texts = [b"w%d" % writer for writer in range(6)]
        with ThreadPoolExecutor() as pool:
            won = [text for text, done in zip(texts, pool.map(put, texts), strict=True) if done]

        assert won == [store.get(key)]


@pytest.mark.parametrize("call", [
    lambda store: store.put("x", b""),
    lambda store: store.put_new("x", b""),
    lambda store: store.put_matching("x", b"", "0" * 32),
    lambda store: store.find("x"),
    lambda store: list(store.list_keys("x")),
    lambda store: store.check(),
])  # fmt: skip
def test_a_missing_bucket_is_no_missing_object(make: Make, call: Callable[[Store], object]) -> None:
    with pytest.raises(StoreError, match="nowhere") as caught:
        call(make(s3_bucket="nowhere"))

    assert caught.value.code == "no-bucket"


_KEYS = st.sampled_from(["a", "b", "d/a", "d/b"])
_DATA = st.binary(max_size=3)
_ETAG = _DATA.map(lambda data: hashlib.md5(data).hexdigest())
_OPERATIONS = st.one_of(
    st.tuples(st.sampled_from(["put", "put_new"]), _KEYS, _DATA),
    st.tuples(st.sampled_from(["get", "find", "find_tagged", "exists", "delete", "touch"]), _KEYS),
    st.tuples(st.just("put_matching"), _KEYS, _DATA, _ETAG),
)  # fmt: skip


@given(operations=st.lists(_OPERATIONS, max_size=12))
@hypothesis_settings(max_examples=25)
def test_both_servers_give_the_same_answers(
    stack_settings: dict[str, str], operations: list[tuple[object, ...]]
) -> None:
    prefix = f"same/{uuid.uuid4()}/"
    server = with_bucket()
    stores = Store(load_settings(**stack_settings)), store_of(server, Settings())
    answers = []
    for store in stores:
        said = [_say(store, prefix, *operation) for operation in operations]
        answers.append([*said, list(store.list_keys(prefix))])

    assert answers[0] == answers[1]


def _say(store: Store, prefix: str, method: object, key: object, *rest: object) -> object:
    try:
        return getattr(store, str(method))(f"{prefix}{key}", *rest)
    except NotFoundError as error:
        return str(error)
