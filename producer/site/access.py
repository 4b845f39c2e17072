"""Who is let in: whoever brings the token, once in the address and then as a cookie.

The middleware also sets the headers by which a browser keeps a page to itself.
"""

from __future__ import annotations

import hashlib
import hmac
import ipaddress
import secrets
from urllib.parse import parse_qsl, urlencode, urlsplit

from starlette.datastructures import Headers, MutableHeaders
from starlette.requests import cookie_parser
from starlette.responses import PlainTextResponse, RedirectResponse
from starlette.types import ASGIApp, Message, Receive, Scope, Send

#: Answers whether the server lives, to whoever asks; it tells nothing else.
HEALTH = "/healthz"

_HEADERS = {
    # A page says itself what it may load; what says nothing may load nothing.
    "Content-Security-Policy": "default-src 'none'; base-uri 'none'; frame-ancestors 'none'",
    "Referrer-Policy": "no-referrer",
    "X-Content-Type-Options": "nosniff",
    "Cross-Origin-Resource-Policy": "same-origin",
    "Cross-Origin-Opener-Policy": "same-origin",
    "Cache-Control": "private, no-store",
}


def new_token() -> str:
    """A token that nobody can guess: 256 bits, safe in an address."""
    return secrets.token_urlsafe(32)


def is_loopback(host: str) -> bool:
    """Whether an address to listen at is reached from this machine alone."""
    try:
        return host == "localhost" or ipaddress.ip_address(host).is_loopback
    except ValueError:
        return False


class Access:
    """Lets requests through that bring the token.

    Args:
        app: What answers them.
        token: The token; None lets everybody in who can reach the server.
        host: The address that it listens at.
        port: Its port: browsers keep one jar of cookies for all ports of a host.
    """

    def __init__(self, app: ASGIApp, token: str | None, host: str, port: int) -> None:
        self._app = app
        self._token = token
        self._host = host
        self._cookie = f"regioncap-{port}"

    async def __call__(self, scope: Scope, receive: Receive, send: Send) -> None:
        """Answers a request, or hands it on."""
        if scope["type"] != "http":
            await self._app(scope, receive, send)
            return

        async def send_with_headers(message: Message) -> None:
            if message["type"] == "http.response.start":
                headers = MutableHeaders(scope=message)
                for name, value in _HEADERS.items():
                    headers.setdefault(name, value)
            await send(message)

        await self._answer(scope)(scope, receive, send_with_headers)

    def _answer(self, scope: Scope) -> ASGIApp:
        headers = Headers(scope=scope)
        if scope["path"] == HEALTH:
            return PlainTextResponse("ok\n")
        if self._token is None:
            return self._app if self._names_us(headers) else _refused("another host is asked for")
        query = parse_qsl(scope["query_string"].decode("latin-1"), keep_blank_values=True)
        given = [value for name, value in query if name == "token"]
        if given:
            if not _same(given[0], self._token):
                return _refused("the token is another one")
            rest = urlencode([(name, value) for name, value in query if name != "token"])
            # One slash at the beginning: two would name another host.
            path = "/" + str(scope["path"]).lstrip("/")
            answer = RedirectResponse(path + (f"?{rest}" if rest else ""), status_code=303)
            answer.set_cookie(
                self._cookie,
                self._proof(),
                httponly=True,
                samesite="lax",
                secure=scope["scheme"] == "https",
            )
            return answer
        bearer = headers.get("authorization", "").removeprefix("Bearer ")
        if _same(bearer, self._token) or _same(self._brought(headers), self._proof()):
            return self._app
        return _refused("there is no token")

    def _names_us(self, headers: Headers) -> bool:
        """Whether the page is asked for by our name, and not by one that leads here by a trick.

        A page of strangers can have its own name resolve to this machine. With a token it has no
        cookie of ours; without one the name is all that tells.
        """
        if not is_loopback(self._host):
            return True
        try:
            host = urlsplit(f"//{headers.get('host', '')}").hostname or ""
        except ValueError:
            return False
        return is_loopback(host) or host == self._host

    def _proof(self) -> str:
        """What the cookie holds: it does not tell the token."""
        token = (self._token or "").encode()
        return hmac.new(token, b"regioncap serve", hashlib.sha256).hexdigest()

    def _brought(self, headers: Headers) -> str:
        # As browsers send them: those of other programs on this host are among them, in any form.
        return cookie_parser(headers.get("cookie", "")).get(self._cookie, "")


def _same(given: str, wanted: str) -> bool:
    return hmac.compare_digest(given.encode("utf-8", "replace"), wanted.encode())


def _refused(why: str) -> ASGIApp:
    return PlainTextResponse(
        f"Not let in: {why}.\n\nOpen the address that `regioncap serve` printed, with its token.\n",
        status_code=403,
    )
