from __future__ import annotations

import os

import pytest

from regioncap.errors import NotFoundError, StoreError, UsageError
from regioncap.services.store import Store, parse_s3_uri
from regioncap.settings import Settings, load_settings


@pytest.fixture(scope="module")
def settings(stack_settings: dict[str, str]) -> Settings:
    return load_settings(**stack_settings)


@pytest.fixture(scope="module")
def store(settings: Settings) -> Store:
    return Store(settings)


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


def test_get__reads_no_more_than_needed_to_see_that_it_is_too_long(store: Store) -> None:
    store.put("test/long", bytes(5000))

    assert len(store.get("test/long", limit_bytes=1000)) == 1001
    assert len(store.get("test/long", limit_bytes=9000)) == 5000


def test_list_keys__in_order_and_by_folder(store: Store) -> None:
    for key in ("test/list/b", "test/list/a/1", "test/list/a/2"):
        store.put(key, b"x")

    everything = list(store.list_keys("test/list/"))

    assert everything == ["test/list/a/1", "test/list/a/2", "test/list/b"]
    assert set(store.list_keys("test/list/", recursive=False)) == {"test/list/a/", "test/list/b"}
    assert list(store.list_keys("test/list/", after="test/list/a/1")) == everything[1:]


def test_check__names_a_missing_bucket(settings: Settings) -> None:
    store = Store(settings.model_copy(update={"s3_bucket": "nowhere"}))

    with pytest.raises(StoreError, match="nowhere"):
        store.check()


def test_unreachable__says_where_and_what_to_do(settings: Settings) -> None:
    store = Store(settings.model_copy(update={"s3_endpoint": "127.0.0.1:1"}), attempts=0)

    with pytest.raises(StoreError, match=r"127\.0\.0\.1:1.*doctor"):
        store.get("x")


def test_refused__names_the_settings_and_no_secret(settings: Settings) -> None:
    store = Store(settings.model_copy(update={"s3_access_key": "nobody"}))

    with pytest.raises(StoreError, match="REGIONCAP_S3_ACCESS_KEY") as caught:
        store.get("x")

    assert settings.s3_secret_key.get_secret_value() not in str(caught.value)


def test_endpoint_that_is_a_url_is_explained(settings: Settings) -> None:
    with pytest.raises(UsageError, match="host:port"):
        Store(settings.model_copy(update={"s3_endpoint": "http://127.0.0.1:9000"}))


@pytest.mark.parametrize("uri", ["s3://b", "s3://b/", "s3:///k", "http://b/k", "b/k", "", "s3://"])
def test_parse_s3_uri__refuses(uri: str) -> None:
    with pytest.raises(ValueError, match="s3://bucket/key"):
        parse_s3_uri(uri)


def test_parse_s3_uri() -> None:
    assert parse_s3_uri("s3://b/a/b c?.jpg") == ("b", "a/b c?.jpg")
