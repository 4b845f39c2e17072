"""An object store on its bad days: a proxy that is slow, busy, or lets nobody have some objects."""

from __future__ import annotations

import http.client
import threading
import time
from collections.abc import Iterator
from contextlib import contextmanager
from http.server import BaseHTTPRequestHandler, ThreadingHTTPServer
from typing import Any

_BUSY = b"<Error><Code>SlowDown</Code><Message>Please reduce your request rate.</Message></Error>"
_DENIED = b"<Error><Code>AccessDenied</Code><Message>Access Denied.</Message></Error>"


class Proxy(ThreadingHTTPServer):
    """Passes requests on as they are; the signature covers the Host header, so that stays too.

    Args:
        target: host:port of the store.
    """

    daemon_threads = True

    def __init__(self, target: str) -> None:
        super().__init__(("127.0.0.1", 0), _Handler)
        self.target = target
        #: 0 refuses none, 1 all, 3 every third request.
        self.refuse_every = 0
        self.delay_s = 0.0
        #: Beginnings of `bucket/key` that nobody may have.
        self.denied: set[str] = set()
        self.requests = 0
        self.refused = 0
        self._lock = threading.Lock()

    @property
    def endpoint(self) -> str:
        return f"127.0.0.1:{self.server_address[1]}"

    def refuses(self) -> bool:
        with self._lock:
            self.requests += 1
            refuse = bool(self.refuse_every) and self.requests % self.refuse_every == 0
            self.refused += refuse
        time.sleep(self.delay_s)
        return refuse


class _Handler(BaseHTTPRequestHandler):
    protocol_version = "HTTP/1.1"
    server: Proxy

    def _pass_on(self) -> None:
        body = self.rfile.read(int(self.headers.get("Content-Length") or 0))
        if self.server.refuses():
            self._answer(503, [("Content-Type", "application/xml")], _BUSY)
            return
        if self.path.lstrip("/").startswith(tuple(self.server.denied)):
            self._answer(403, [("Content-Type", "application/xml")], _DENIED)
            return
        upstream = http.client.HTTPConnection(self.server.target, timeout=30)
        try:
            upstream.putrequest(self.command, self.path, skip_host=True, skip_accept_encoding=True)
            for name, value in self.headers.items():
                upstream.putheader(name, value)
            upstream.endheaders(body)
            response = upstream.getresponse()
            headers = [
                (name, value)
                for name, value in response.getheaders()
                if name.lower() not in {"connection", "transfer-encoding", "content-length"}
            ]
            length = response.getheader("Content-Length")
            self._answer(response.status, headers, response.read(), length)
        except OSError:
            self.close_connection = True
        finally:
            upstream.close()

    do_GET = do_PUT = do_HEAD = do_DELETE = do_POST = _pass_on  # noqa: N815

    def _answer(
        self, status: int, headers: list[tuple[str, str]], body: bytes, length: str | None = None
    ) -> None:
        self.send_response(status)
        for name, value in headers:
            self.send_header(name, value)
        self.send_header(
            "Content-Length", (length if self.command == "HEAD" else None) or str(len(body))
        )
        self.end_headers()
        if self.command != "HEAD":
            self.wfile.write(body)

    def log_message(self, *_: Any) -> None:
        """Says nothing."""


@contextmanager
def proxied(target: str) -> Iterator[Proxy]:
    """A proxy for as long as the block runs."""
    proxy = Proxy(target)
    threading.Thread(target=proxy.serve_forever, daemon=True).start()
    try:
        yield proxy
    finally:
        proxy.shutdown()
        proxy.server_close()
