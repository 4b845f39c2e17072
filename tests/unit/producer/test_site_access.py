"""Who is let in to the page of `regioncap serve`, and with which headers it answers."""

from __future__ import annotations

import asyncio
from typing import Any
from urllib.parse import quote

import pytest
from starlette.responses import PlainTextResponse
from starlette.types import Message

from producer.site.access import Access, is_loopback, new_token

#: The same in each process, as it stands in the names of tests.
TOKEN = "p7Zx_w2Q-r" * 4


def ask(
    path: str = "/",
    query: str = "",
    *,
    token: str | None = TOKEN,
    listens: str = "127.0.0.1",
    scheme: str = "http",
    **headers: str,
) -> tuple[int, dict[str, str], str]:
    """Status, headers and body of an answer."""
    sent: list[Message] = []

    async def send(message: Message) -> None:
        sent.append(message)

    async def receive() -> Message:
        return {"type": "http.request", "body": b"", "more_body": False}

    scope: dict[str, Any] = {
        "type": "http", "method": "GET", "path": path, "query_string": query.encode("latin-1"),
        "scheme": scheme, "server": (listens, 8765),
        "headers": [(k.encode(), v.encode("latin-1")) for k, v in headers.items()],
    }  # fmt: skip
    app = Access(PlainTextResponse("inside"), token, listens, 8765)
    asyncio.run(app(scope, receive, send))
    start, *rest = sent
    told = {name.decode(): value.decode() for name, value in start["headers"]}
    return start["status"], told, b"".join(each.get("body", b"") for each in rest).decode()


def cookie_of(query: str = f"token={TOKEN}", **options: Any) -> str:
    _, headers, _ = ask("/", query, **options)
    return headers["set-cookie"]


def test_the_token_is_taken_out_of_the_address() -> None:
    status, headers, body = ask("/jobs/x", f"which=failed&token={TOKEN}&text=a+b")

    assert (status, headers["location"]) == (303, "/jobs/x?which=failed&text=a+b")
    assert TOKEN not in str(headers) + body


def test_the_cookie_lets_in_and_does_not_tell_the_token() -> None:
    cookie = cookie_of()

    assert {"HttpOnly", "SameSite=lax", "Path=/"} <= set(cookie.split("; "))
    assert TOKEN not in cookie
    status, _, body = ask(cookie=cookie.split(";")[0])
    assert (status, body) == (200, "inside")


@pytest.mark.parametrize(
    "others", ['prefs={"dark":true}', "a=hello world", "path=/x", "a", "a=\xe9", "expires=3", '"=;']
)
def test_cookies_of_other_programs_on_the_host_keep_nobody_out(others: str) -> None:
    ours = cookie_of().split(";")[0]

    assert ask(cookie=f"{others}; {ours}")[0] == 200
    assert ask(cookie=f"{ours}; {others}")[0] == 200


def test_over_tls_the_cookie_goes_nowhere_else() -> None:
    assert "Secure" in cookie_of(scheme="https")


def test_programs_bring_it_in_a_header() -> None:
    assert ask(authorization=f"Bearer {TOKEN}")[0] == 200


@pytest.mark.parametrize(
    ("query", "headers"),
    [
        ("", {}),
        ("token=", {}),
        (f"token={TOKEN[:-1]}", {}),
        (f"token={TOKEN}x", {}),
        ("token=%C3%A9%00", {}),
        ("token=wrong", {"authorization": f"Bearer {TOKEN}"}),
        ("", {"cookie": "regioncap-8765="}),
        ("", {"cookie": f"regioncap-8765={TOKEN}"}),
        ("", {"cookie": "regioncap-8765=\xe9; =;;"}),
        ("", {"cookie": cookie_of(token="another" * 5, query=f"token={'another' * 5}")}),
        ("", {"authorization": "Bearer "}),
        ("", {"authorization": "Bearer \xe9"}),
    ],
)
def test_without_it_nothing_is_told(query: str, headers: dict[str, str]) -> None:
    status, told, body = ask("/", query, **headers)

    assert status == 403
    assert "inside" not in body
    assert "set-cookie" not in told


def test_the_redirect_leads_nowhere_else() -> None:
    _, headers, _ = ask("//elsewhere.example/x", f"token={TOKEN}")

    assert headers["location"] == "/elsewhere.example/x"
    _, headers, _ = ask("/\\elsewhere.example", f"token={quote(TOKEN)}")
    assert not headers["location"].startswith(("//", "/\\"))


@pytest.mark.parametrize("path", ["/", "/healthz"])
def test_every_answer_keeps_to_itself(path: str) -> None:
    for headers in (ask(path)[1], ask(path, token=None, host="localhost")[1]):
        assert headers["referrer-policy"] == "no-referrer"
        assert headers["x-content-type-options"] == "nosniff"
        assert "default-src 'none'" in headers["content-security-policy"]
        assert "frame-ancestors 'none'" in headers["content-security-policy"]
        assert "no-store" in headers["cache-control"]


def test_health_needs_no_token() -> None:
    assert ask("/healthz")[::2] == (200, "ok\n")


@pytest.mark.parametrize(
    ("host", "named", "status"),
    [
        ("127.0.0.1", "localhost:8765", 200),
        ("127.0.0.1", "127.0.0.1:8765", 200),
        ("::1", "[::1]:8765", 200),
        ("127.0.0.1", "rebound.example:8765", 403),
        ("127.0.0.1", "[", 403),
        ("0.0.0.0", "workstation:8765", 200),
    ],
)
def test_without_a_token_a_page_of_strangers_cannot_ask(host: str, named: str, status: int) -> None:
    assert ask(token=None, listens=host, host=named)[0] == status


@pytest.mark.parametrize(
    ("host", "answer"),
    [("127.0.0.1", True), ("127.9.0.1", True), ("::1", True), ("localhost", True),
     ("0.0.0.0", False), ("::", False), ("10.0.0.1", False), ("example.org", False)],
)  # fmt: skip
def test_is_loopback(host: str, answer: bool) -> None:
    assert is_loopback(host) == answer


def test_tokens_differ_and_are_long() -> None:
    assert len({new_token() for _ in range(100)}) == 100
    assert len(new_token()) >= 43
