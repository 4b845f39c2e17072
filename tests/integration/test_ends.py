"""A job's end, told to a real command and a real server."""

from __future__ import annotations

import json
import socket
import ssl
import time
from collections.abc import Iterator
from contextlib import suppress
from http.server import BaseHTTPRequestHandler, ThreadingHTTPServer
from pathlib import Path
from threading import Event, Thread
from typing import Any

import pytest

from regioncap import keys
from regioncap.jobs import ends
from regioncap.jobs.ends import Ends
from regioncap.jobs.janitor import Janitor
from regioncap.services.sender import Sender
from regioncap.settings import load_settings
from tests.support.certificates import certify
from tests.support.stages import empty_redis, own_stages, two_shards


class Hook:
    """A server that sends the first who comes elsewhere, and takes what the next ones bring."""

    def __init__(self) -> None:
        self.got: list[tuple[str, str | None, dict[str, Any]]] = []
        hook = self

        class Handler(BaseHTTPRequestHandler):
            def do_POST(self) -> None:
                body = self.rfile.read(int(self.headers["Content-Length"]))
                hook.got.append((self.path, self.headers["Authorization"], json.loads(body)))
                self.send_response(302 if len(hook.got) == 1 else 204)
                self.send_header("Location", "/elsewhere")
                self.end_headers()

            def log_message(self, *_: object) -> None: ...

        self.server = ThreadingHTTPServer(("127.0.0.1", 0), Handler)
        Thread(target=self.server.serve_forever, daemon=True).start()

    @property
    def url(self) -> str:
        return f"http://me:secret@127.0.0.1:{self.server.server_port}/hook?token=1"


@pytest.fixture
def hook() -> Iterator[Hook]:
    hook = Hook()
    yield hook
    hook.server.shutdown()
    hook.server.server_close()


def test_a_finished_job_is_told_by_a_janitor(
    stack_settings: dict[str, str], tmp_path: Path, hook: Hook
) -> None:
    told = tmp_path / "told"
    settings = load_settings(
        **stack_settings | {"s3_bucket": "ends"},
        on_end_command=["/bin/sh", "-c", 'cat >> "$0"; echo >> "$0"', str(told)],
        on_end_url=hook.url,
    )
    with (
        own_stages(settings) as stages,
        empty_redis(settings) as client,
        two_shards(stages, tmp_path) as job,
    ):
        janitor = Janitor(
            stages.store,
            client,
            Sender(client, settings),
            patience_s=600,
            ends=Ends(stages.store, client, settings),
        )
        for shard in range(job.shards):
            janitor.turn()
            assert not told.exists()
            stages.render.run(job.job, shard)
            stages.caption.run(job.job, shard)
        for _ in range(3):
            client.delete("regioncap:ends", f"regioncap:ends:{job.job}")  # time goes by
            janitor.turn()
        left = list(stages.store.list_keys(keys.ENDS))

    lines = [json.loads(line) for line in told.read_text().splitlines()]
    assert [(line["job"], line["state"], line["counts"]["done"]) for line in lines] == [
        (job.job, "done", 2)
    ] * 2
    user = "Basic bWU6c2VjcmV0"
    assert hook.got == [("/hook?token=1", user, line) for line in lines]
    assert not left


@pytest.mark.parametrize("drip", [b"", b"x", b"HTTP/1.1 200 OK\r\nX: "], ids=["no", "some", "half"])
def test_a_server_that_comes_to_no_end_of_its_answer_is_left(
    drip: bytes, monkeypatch: pytest.MonkeyPatch
) -> None:
    monkeypatch.setattr(ends, "TIMEOUT_S", 0.5)
    ended = Event()
    with socket.create_server(("127.0.0.1", 0)) as server:

        def serve() -> None:
            connection, _ = server.accept()
            with connection, suppress(OSError):
                connection.sendall(drip)
                while not ended.wait(0.1):
                    connection.sendall(b"x" if drip else b"")

        Thread(target=serve, daemon=True).start()
        url = f"http://127.0.0.1:{server.getsockname()[1]}/hook"
        began_s = time.monotonic()
        said = ends.post(url, b"{}")
        took_s = time.monotonic() - began_s
        ended.set()

    assert said.startswith("on_end_url ")
    assert took_s < 10


def test_a_server_with_tls_has_to_prove_who_it_is(
    tmp_path: Path, hook: Hook, monkeypatch: pytest.MonkeyPatch
) -> None:
    key, certificate = certify(tmp_path)
    context = ssl.SSLContext(ssl.PROTOCOL_TLS_SERVER)
    context.load_cert_chain(certificate, key)
    hook.server.socket = context.wrap_socket(hook.server.socket, server_side=True)
    url = f"https://me:s%20cret@localhost:{hook.server.server_port}/a%20hook"

    assert ends.post(url, b"{}") == "on_end_url cannot be reached: SSLCertVerificationError"
    monkeypatch.setenv("SSL_CERT_FILE", str(certificate))
    assert ends.post(url, b"{}") == "on_end_url answered 302"
    assert hook.got == [("/a%20hook", "Basic bWU6cyBjcmV0", {})]
