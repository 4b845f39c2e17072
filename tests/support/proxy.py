"""An object store on its bad days: a proxy that is slow, refuses, or answers as other stores do."""

from __future__ import annotations

import http.client
import re
import threading
import time
from collections.abc import Iterator
from contextlib import contextmanager
from dataclasses import dataclass
from datetime import UTC, datetime
from http.server import BaseHTTPRequestHandler, ThreadingHTTPServer
from typing import Any
from urllib.parse import urlsplit

from minio.credentials.credentials import Credentials
from minio.signer import sign_v4_s3

_XML = [("Content-Type", "application/xml")]
#: What says how two neighbours speak, and is not passed on.
_OWN = {"connection", "transfer-encoding", "content-length"}


@dataclass
class Rule:
    """Requests that are answered by the proxy itself, as some store answers them.

    Args:
        status: The answer.
        code: What its text says, but for HEAD, whose answer has none.
        method: The request's method, as a pattern.
        path: A pattern that is looked for in its path.
        header: A header that it must have.
        times: How many such requests; all by default.
        region: What the answer says the region is.
    """

    status: int
    code: str
    method: str = ".*"
    path: str = ""
    header: str = ""
    times: int | None = None
    region: str = ""
    #: How many it has answered.
    met: int = 0


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
        self.requests = 0
        self.refused = 0
        self.rules: list[Rule] = []
        #: Headers that are taken away on the way, and the keys to sign the rest with.
        self.ignored: set[str] = set()
        self.keys: Credentials | None = None
        #: The headers of each request.
        self.seen: list[Any] = []
        self._lock = threading.Lock()

    @property
    def endpoint(self) -> str:
        return f"127.0.0.1:{self.server_address[1]}"

    def values(self, header: str) -> list[str | None]:
        """What each request had as a header."""
        return [headers.get(header) for headers in self.seen]

    def refuses(self) -> bool:
        with self._lock:
            self.requests += 1
            refuse = bool(self.refuse_every) and self.requests % self.refuse_every == 0
            self.refused += refuse
        time.sleep(self.delay_s)
        return refuse

    def rule_for(self, method: str, path: str, headers: Any) -> Rule | None:
        with self._lock:
            self.seen.append(headers)
            for rule in self.rules:
                if (
                    re.fullmatch(rule.method, method)
                    and re.search(rule.path, path)
                    and (not rule.header or rule.header in headers)
                    and (rule.times is None or rule.met < rule.times)
                ):
                    rule.met += 1
                    return rule
        return None


class _Handler(BaseHTTPRequestHandler):
    protocol_version = "HTTP/1.1"
    server: Proxy

    def _pass_on(self) -> None:
        body = self.rfile.read(int(self.headers.get("Content-Length") or 0))
        if self.server.refuses():
            self._answer(503, _XML, _error("SlowDown"))
            return
        if rule := self.server.rule_for(self.command, self.path, self.headers):
            named = [("x-amz-bucket-region", rule.region)] if rule.region else []
            self._answer(rule.status, _XML + named, _error(rule.code))
            return
        upstream = http.client.HTTPConnection(self.server.target, timeout=30)
        try:
            upstream.putrequest(self.command, self.path, skip_host=True, skip_accept_encoding=True)
            for name, value in self._passed_headers():
                upstream.putheader(name, value)
            upstream.endheaders(body)
            response = upstream.getresponse()
            headers = [
                (name, value) for name, value in response.getheaders() if name.lower() not in _OWN
            ]
            length = response.getheader("Content-Length")
            self._answer(response.status, headers, response.read(), length)
        except OSError:
            self.close_connection = True
        finally:
            upstream.close()

    do_GET = do_PUT = do_HEAD = do_DELETE = do_POST = _pass_on  # noqa: N815

    def _passed_headers(self) -> list[tuple[str, str]]:
        headers = list(self.headers.items())
        ignored = {name.lower() for name, _ in headers} & self.server.ignored
        if not ignored:
            return headers
        assert self.server.keys
        left = {
            name: value
            for name, value in headers
            if name.lower() not in {*ignored, "authorization"}
        }
        signed = sign_v4_s3(
            method=self.command,
            url=urlsplit(f"http://{self.headers['Host']}{self.path}"),
            region="us-east-1",
            headers=left,  # type: ignore[arg-type]
            credentials=self.server.keys,
            content_sha256=left["x-amz-content-sha256"],
            date=datetime.strptime(left["x-amz-date"], "%Y%m%dT%H%M%SZ").replace(tzinfo=UTC),
        )
        return [(name, str(value)) for name, value in signed.items()]

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


def _error(code: str) -> bytes:
    return f"<Error><Code>{code}</Code><Message>As some stores say.</Message></Error>".encode()


@contextmanager
def proxied(target: str, *rules: Rule) -> Iterator[Proxy]:
    """A proxy for as long as the block runs."""
    proxy = Proxy(target)
    proxy.rules = list(rules)
    threading.Thread(target=proxy.serve_forever, daemon=True).start()
    try:
        yield proxy
    finally:
        proxy.shutdown()
        proxy.server_close()
