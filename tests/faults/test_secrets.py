"""Secrets stand in nothing that the system writes, whatever goes wrong; and TLS works."""

from __future__ import annotations

import shutil
import subprocess
import sys
from collections.abc import Iterator
from contextlib import contextmanager
from pathlib import Path

import pytest
import redis

from regioncap.errors import StoreError
from regioncap.local import seaweed
from regioncap.local.files import free_ports
from regioncap.services.broker import connect
from regioncap.services.store import Store
from regioncap.settings import Settings
from tests.support.certificates import certify
from tests.support.compose import ROOT
from tests.support.rig import Rig, wait_until

_MAIN = "from producer.cli import main; main()"


def _secrets(rig: Rig) -> list[str]:
    settings = rig.stack.settings()
    password = settings["broker_url"].split(":")[2].partition("@")[0]
    return [password, settings["s3_secret_key"]]


def _command(rig: Rig, *arguments: str, **changed: str) -> str:
    ended = subprocess.run(
        [sys.executable, "-c", _MAIN, "--debug", *arguments],
        env=rig.environment(**changed), cwd=rig.folder, capture_output=True, text=True, check=False,
    )  # fmt: skip
    return ended.stdout + ended.stderr


@pytest.mark.more
def test_secrets_are_written_nowhere(rig: Rig, input_file: Path) -> None:
    password, secret_key = _secrets(rig)
    broker = rig.stack.settings()["broker_url"]
    workers = rig.start("render"), rig.start("caption")
    janitor = rig.start("janitor")
    job = rig.submit(input_file)
    rig.check(job)
    queued = rig.submit(input_file)
    wait_until(lambda: rig.done(queued) > 0)
    messages = str([rig.redis.lrange(name, 0, -1) for name in ("render", "caption")])
    shown = [
        _command(rig, "config", "show"),
        _command(rig, "doctor"),
        _command(rig, "status", job.job, "--json"),
        _command(rig, "doctor", s3_endpoint="127.0.0.1:1"),
        _command(rig, "status", s3_endpoint="127.0.0.1:1"),
        _command(rig, "status", s3_bucket="nothing-there"),
        _command(rig, "doctor", broker_url=broker.replace("/0", "/nonsense")),
        _command(rig, "doctor", broker_url=broker.replace("127.0.0.1:", "127.0.0.1:1")),
        _command(rig, "reconcile", job.job, broker_url=broker.rpartition(":")[0] + ":1/0"),
    ]
    for worker in (*workers, janitor):
        worker.terminate()
        worker.process.wait(30)
    for broken in ({"s3_endpoint": "127.0.0.1:1"}, {"s3_bucket": "nothing-there"}):
        rig.queue(queued)
        confused = rig.start("render", **broken)
        wait_until(lambda confused=confused: b"back to the" in confused.log.read_bytes())  # type: ignore[misc]
        confused.end()
    objects = [rig.store.get(key) for key in rig.store.list_keys(f"jobs/{job.job}/")]
    everything = "\n".join([messages, rig.logs(), *shown, *map(str, objects)])
    assert "back to the queue" in everything
    for secret in (password, secret_key):
        assert [line[:200] for line in everything.splitlines() if secret in line] == []


@contextmanager
def _redis_with_tls(folder: Path) -> Iterator[tuple[str, Path]]:
    """A redis-server that speaks TLS only and knows one user, a worker; its URL and certificate."""
    server = shutil.which("redis-server")
    if server is None or shutil.which("openssl") is None:
        pytest.skip("redis-server and openssl are not installed")
    key, certificate = certify(folder)
    (port,) = free_ports(1)
    rules = (ROOT / "deploy/security/redis/worker.acl").read_text()
    process = subprocess.Popen(
        [
            server, "--port", "0", "--tls-port", str(port), "--tls-cert-file", certificate,
            "--tls-key-file", key, "--tls-auth-clients", "no", "--save", "", "--bind", "127.0.0.1",
            "--user", "default", "off", "--user", "worker", "on", ">geheim", *rules.split(),
        ],
        stdout=subprocess.DEVNULL,
        cwd=folder,
    )  # fmt: skip
    try:
        yield f"rediss://worker:geheim@localhost:{port}/0", certificate
    finally:
        process.kill()
        process.wait()


def _answers(rig: Rig) -> bool:
    try:
        return bool(rig.redis.ping())
    except redis.exceptions.ConnectionError:
        return False


def test_redis_over_tls_with_a_user(
    rig: Rig, input_file: Path, expected: bytes, tmp_path: Path
) -> None:
    with _redis_with_tls(tmp_path) as (url, certificate):
        trusted = f"{url}?ssl_ca_certs={certificate}&ssl_cert_reqs=required"
        rig.use_broker(trusted)
        wait_until(lambda: _answers(rig))
        rig.start("render")
        rig.start("caption")
        rig.check(rig.submit(input_file), expected)
        with pytest.raises(Exception, match="CERTIFICATE_VERIFY_FAILED"):
            connect(rig.make_settings(broker_url=url)).ping()


def test_store_over_its_own_tls(
    stack_settings: dict[str, str], tmp_path: Path, monkeypatch: pytest.MonkeyPatch
) -> None:
    key, certificate = certify(tmp_path)
    ports = dict(zip(seaweed.PORT_NAMES, free_ports(len(seaweed.PORT_NAMES)), strict=True))
    command = seaweed.command(
        tmp_path / "weed", ports=ports, access_key="access", secret_key="geheim-geheim", keep_fds=()
    )
    with (tmp_path / "weed" / "weed.options").open("a") as options:
        options.write(f"s3.key.file={key}\ns3.cert.file={certificate}\n")
    settings = Settings(**{  # type: ignore[arg-type]
        **stack_settings, "s3_endpoint": f"localhost:{ports['s3.port']}", "s3_secure": "true",
        "s3_access_key": "access", "s3_secret_key": "geheim-geheim",
    })  # fmt: skip
    process = subprocess.Popen(
        command.argv, cwd=command.cwd, env=command.env, stderr=subprocess.DEVNULL
    )
    try:
        monkeypatch.setenv("SSL_CERT_FILE", str(certificate))
        trusted = Store(settings)
        wait_until(lambda: _makes_bucket(trusted))
        trusted.put("a", b"over TLS")
        assert trusted.get("a") == b"over TLS"
        monkeypatch.delenv("SSL_CERT_FILE")
        with pytest.raises(StoreError, match="cannot be reached"):
            Store(settings, attempts=0).check()
    finally:
        process.kill()
        process.wait()
        seaweed.remove_sockets(ports)


def _makes_bucket(store: Store) -> bool:
    try:
        store.ensure_bucket()
    except StoreError:
        return False
    return True
