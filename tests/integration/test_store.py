"""What the store says when it is not there, refuses, or is named wrongly."""

from __future__ import annotations

import threading
from collections.abc import Iterator
from concurrent.futures import ThreadPoolExecutor
from http.server import BaseHTTPRequestHandler, ThreadingHTTPServer
from pathlib import Path

import pytest

from regioncap import keys
from regioncap.errors import StoreError, UsageError
from regioncap.jobs.results import read
from regioncap.services.store import Store, parse_s3_uri
from regioncap.settings import Settings, load_settings
from tests.support.moto_store import moto_store
from tests.support.stages import Stages


@pytest.fixture(scope="module", params=["seaweedfs", pytest.param("moto", marks=pytest.mark.more)])
def settings(request: pytest.FixtureRequest) -> Iterator[Settings]:
    if request.param == "moto":
        with moto_store() as found:
            yield load_settings(**found)
        return
    yield load_settings(**request.getfixturevalue("stack_settings"))


def test_check__names_a_missing_bucket(settings: Settings) -> None:
    store = Store(settings.model_copy(update={"s3_bucket": "nowhere"}))

    with pytest.raises(StoreError, match="nowhere"):
        store.check()


def test_unreachable__says_where_and_what_to_do(settings: Settings) -> None:
    store = Store(settings.model_copy(update={"s3_endpoint": "127.0.0.1:1"}), attempts=0)

    with pytest.raises(StoreError, match=r"127\.0\.0\.1:1.*doctor"):
        store.get("x")


class _Page(BaseHTTPRequestHandler):
    """Somebody who answers in place of a store: a proxy that wants a login."""

    def do_GET(self) -> None:
        page = b"<html><p>please log in<br></html>"
        self.send_response(200)
        self.send_header("Content-Length", str(len(page)))
        self.end_headers()
        self.wfile.write(page)

    def log_message(self, *_: object) -> None: ...


def test_a_page_in_place_of_a_list_is_no_answer(stack_settings: dict[str, str]) -> None:
    with ThreadingHTTPServer(("127.0.0.1", 0), _Page) as server:
        threading.Thread(target=server.serve_forever, daemon=True).start()
        settings = load_settings(**stack_settings | {"s3_region": "us-east-1"})
        away = settings.model_copy(update={"s3_endpoint": f"127.0.0.1:{server.server_port}"})
        with pytest.raises(StoreError, match="cannot be reached"):
            list(Store(away).list_keys("jobs/"))
        server.shutdown()


def test_each_thread_keeps_a_connection(
    stack_settings: dict[str, str], caplog: pytest.LogCaptureFixture
) -> None:
    store = Store(load_settings(**stack_settings))
    threads = 100
    together = threading.Barrier(threads)

    def ask(_: int) -> bool:
        together.wait(timeout=30)
        return store.exists("no-such-key")

    with ThreadPoolExecutor(threads) as pool:
        assert not any(pool.map(ask, range(threads)))
    assert "discarding connection" not in caplog.text


def test_a_job(settings: Settings, stack_settings: dict[str, str], tmp_path: Path) -> None:
    broker = load_settings(**stack_settings).broker_url
    Store(settings).ensure_bucket()
    stages = Stages(settings.model_copy(update={"broker_url": broker}))
    job = stages.job(tmp_path)
    stages.render.run(job.job, 0)
    stages.caption.run(job.job, 0)
    stages.engine.close()

    assert [line["error"] for line in read(stages.store, job)] == [None, None]
    assert stages.store.exists(keys.success_key(job.job))
    assert stages.store.delete_all(stages.store.list_keys(keys.prefix(job.job))) > 5


# moto's looks at no signature.
def test_refused__names_the_settings_and_no_secret(stack_settings: dict[str, str]) -> None:
    settings = load_settings(**stack_settings)
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
