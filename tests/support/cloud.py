"""A cloud that gives a machine credentials: its metadata address, a container's, and STS."""

from __future__ import annotations

import json
import threading
from collections.abc import Iterator
from contextlib import contextmanager
from datetime import UTC, datetime, timedelta
from http.server import BaseHTTPRequestHandler, ThreadingHTTPServer
from typing import Any
from urllib.parse import parse_qs, urlsplit

_STS = """<AssumeRoleWithWebIdentityResponse xmlns="https://sts.amazonaws.com/doc/2011-06-15/">
<AssumeRoleWithWebIdentityResult><Credentials><AccessKeyId>{AccessKeyId}</AccessKeyId>
<SecretAccessKey>{SecretAccessKey}</SecretAccessKey><SessionToken>{Token}</SessionToken>
<Expiration>{Expiration}</Expiration></Credentials></AssumeRoleWithWebIdentityResult>
</AssumeRoleWithWebIdentityResponse>"""


class Cloud(ThreadingHTTPServer):
    """Gives out the keys it is told, each time with a new token."""

    daemon_threads = True

    def __init__(self) -> None:
        super().__init__(("127.0.0.1", 0), _Handler)
        self.access_key, self.secret_key = "cloud-key", "cloud-secret"
        #: How long credentials hold.
        self.lifetime = timedelta(hours=1)
        self.is_away = False
        #: What was asked: method, path, and for STS the parameters.
        self.asked: list[tuple[str, str, dict[str, list[str]]]] = []
        self.given = 0

    @property
    def url(self) -> str:
        return f"http://127.0.0.1:{self.server_address[1]}"

    def credentials(self) -> dict[str, str]:
        self.given += 1
        ends = datetime.now(UTC) + self.lifetime
        return {
            "Code": "Success",
            "AccessKeyId": self.access_key,
            "SecretAccessKey": self.secret_key,
            "Token": f"token-{self.given}",
            "Expiration": ends.strftime("%Y-%m-%dT%H:%M:%SZ"),
        }


class _Handler(BaseHTTPRequestHandler):
    server: Cloud

    def _any(self) -> None:
        parts = urlsplit(self.path)
        query = parse_qs(parts.query)
        self.server.asked.append((self.command, parts.path, query))
        if self.server.is_away:
            self._say(403, "text/plain", "no")
        elif parts.path == "/latest/api/token":
            self._say(200, "text/plain", "metadata-token")
        elif parts.path == "/latest/meta-data/iam/security-credentials/":
            known = self.headers.get("X-aws-ec2-metadata-token") == "metadata-token"
            self._say(200 if known else 401, "text/plain", "worker-role")
        elif parts.path.endswith(("/worker-role", "/container")):
            self._say(200, "application/json", json.dumps(self.server.credentials()))
        elif query.get("Action") == ["AssumeRoleWithWebIdentity"]:
            self._say(200, "text/xml", _STS.format_map(self.server.credentials()))
        else:
            self._say(404, "text/plain", "?")

    do_GET = do_PUT = do_POST = _any  # noqa: N815

    def _say(self, status: int, content_type: str, text: str) -> None:
        self.send_response(status)
        self.send_header("Content-Type", content_type)
        self.send_header("Content-Length", str(len(text)))
        self.end_headers()
        self.wfile.write(text.encode())

    def log_message(self, *_: Any) -> None:
        """Says nothing."""


@contextmanager
def cloud() -> Iterator[Cloud]:
    """The cloud, for as long as the block runs."""
    server = Cloud()
    threading.Thread(target=server.serve_forever, daemon=True).start()
    try:
        yield server
    finally:
        server.shutdown()
        server.server_close()
