"""Redis as it is run: replicas, clusters, users with few rights, TLS; what is said of each."""

from __future__ import annotations

import shutil
import threading
from collections.abc import Iterator
from datetime import UTC, datetime
from pathlib import Path

import pytest

from producer.checks import Check, run_checks
from regioncap.client import Client
from regioncap.errors import QueueError, UsageError
from regioncap.job import Job
from regioncap.services.broker import await_loaded, check_server, connect, queue_errors
from regioncap.services.sender import Sender
from regioncap.settings import JobSettings, Settings, load_settings
from tests.support.certificates import certify
from tests.support.redis_server import loading_server, redis_server, with_tls


def settings_of(url: str) -> Settings:
    return load_settings(broker_url=url, s3_endpoint="127.0.0.1:1")


def redis_checks(url: str) -> dict[str, Check]:
    return {check.name: check for check in run_checks(settings_of(url))}


def send(url: str) -> None:
    """Sends a shard, as a producer does."""
    moment = datetime.now(UTC)
    job = Job(
        job="20260101-000000-aaaaaa", records=1, shards=1, settings=JobSettings(), created=moment
    )
    settings = settings_of(url)
    Sender(connect(settings), settings).render(job, [0])


def refusal(url: str) -> QueueError:
    """What sending a shard is answered."""
    with pytest.raises(QueueError) as caught:
        send(url)
    return caught.value


def test_a_replica(tmp_path: Path) -> None:
    with (
        redis_server(tmp_path / "primary") as primary,
        redis_server(tmp_path / "replica", f"replicaof 127.0.0.1 {primary}") as port,
    ):
        url = f"redis://127.0.0.1:{port}/0"
        check, error = redis_checks(url)["redis"], refusal(url)

    assert (check.status, error.code) == ("fail", "queue-read-only")
    assert "takes no writes" in check.what
    assert "primary" in check.remedy


def test_a_cluster(tmp_path: Path) -> None:
    with redis_server(tmp_path, "cluster-enabled yes") as port:
        url = f"redis://127.0.0.1:{port}/0"
        check, error = redis_checks(url)["redis"], refusal(url)
        with pytest.raises(QueueError) as caught:
            check_server(connect(settings_of(url)))

    assert (check.status, error.code, caught.value.code) == ("fail", *["queue-cluster"] * 2)
    assert "several keys" in check.what
    assert "cluster mode off" in check.remedy


def test_a_user_without_rights(tmp_path: Path) -> None:
    with redis_server(tmp_path, "user reader on >secret ~* -@all +info +ping") as port:
        url = f"redis://reader:secret@127.0.0.1:{port}/0"
        with pytest.raises(QueueError) as caught, queue_errors():
            connect(settings_of(url)).lpush("render", "x")
        wrong = redis_checks(url.replace("secret", "other"))["redis"]

    assert caught.value.code == "queue-refused"
    assert "lpush" in caught.value.message
    assert "deploy/security/redis" in caught.value.hint
    assert "user or the password" in wrong.what


def test_without_an_append_only_file_it_is_a_matter_of_time(tmp_path: Path) -> None:
    with redis_server(tmp_path) as port:
        check = redis_checks(f"redis://127.0.0.1:{port}/0")["redis persistence"]

    assert check.status == "warn"
    assert "nothing is lost" in check.what
    assert "managed" in check.remedy


@pytest.fixture
def tls_port(tmp_path: Path) -> Iterator[int]:
    if shutil.which("openssl") is None:
        pytest.skip("openssl is not installed")
    key, certificate = certify(tmp_path)
    with redis_server(tmp_path / "valkey") as port, with_tls(port, key, certificate) as tls:
        yield tls


def test_tls_that_fails_says_why(tls_port: int, tmp_path: Path) -> None:
    strange = redis_checks(f"rediss://localhost:{tls_port}/0")["redis"]
    plain = redis_checks(f"redis://localhost:{tls_port}/0")["redis"]
    trusted = redis_checks(f"rediss://localhost:{tls_port}/0?ssl_ca_certs={tmp_path}/tls.crt")

    assert "self-signed certificate" in strange.what
    assert "ssl_ca_certs" in strange.remedy
    assert "rediss://" in plain.remedy
    assert trusted["redis"].status == "ok"


def test_tls_is_checked_by_both_clients(tls_port: int, tmp_path: Path) -> None:
    # kombu keeps one pool for each host, port and database, whatever the certificates.
    trusted = f"rediss://127.0.0.1:{tls_port}/0?ssl_ca_certs={tmp_path}/tls.crt"

    assert "self-signed certificate" in refusal(f"rediss://localhost:{tls_port}/0").message
    send(trusted)
    send(f"rediss://localhost:{tls_port}/1?ssl_cert_reqs=none")  # as it was asked for
    assert connect(settings_of(trusted)).llen("render") == 1


def test_tls_where_there_is_none(tmp_path: Path) -> None:
    with redis_server(tmp_path) as port:
        check = redis_checks(f"rediss://127.0.0.1:{port}/0")["redis"]

    assert "no answer in time" in check.what  # it waits for a command, and we for its greeting
    assert "is TLS as it wants it" in check.remedy


def test_a_redis_that_reads_its_data_back(tmp_path: Path) -> None:
    with redis_server(tmp_path) as target, loading_server(target) as (port, loaded):
        settings = settings_of(f"redis://127.0.0.1:{port}/0")
        client = connect(settings, patient=False)
        with pytest.raises(QueueError, match="reading its data back") as caught, queue_errors():
            client.ping()
        told = threading.Event()
        waiting = threading.Thread(target=await_loaded, args=(client, told.set))
        waiting.start()
        assert told.wait(30)
        assert waiting.is_alive()
        loaded.set()
        waiting.join(30)
        assert not waiting.is_alive()
        assert client.ping()

    assert "wait" in caught.value.hint


@pytest.mark.parametrize(
    ("url", "words"),
    [
        ("sentinel://127.0.0.1:26379/0", "Sentinel is not served; name the primary"),
        ("redis+sentinel://:secret@h:26379/0", "Sentinel is not served"),
        ("rediss+cluster://h:6379", "cluster"),
        ("127.0.0.1:6379", "redis:// or rediss://"),
    ],
)
def test_an_address_of_another_kind(url: str, words: str) -> None:
    with pytest.raises(UsageError, match=words) as caught:
        Client(broker_url=url)

    assert "secret" not in str(caught.value)
