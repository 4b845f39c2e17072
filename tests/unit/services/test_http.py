"""The store's HTTP client: how long it waits when it is told to."""

from __future__ import annotations

import pytest
import urllib3

from regioncap.services.http import http_client


@pytest.mark.parametrize(("said", "seconds"), [("3", 3.0), ("3600", 20.0), (None, None)])
def test_a_server_is_waited_for_within_reason(said: str | None, seconds: float | None) -> None:
    retry = http_client(4, secure=False).connection_pool_kw["retries"]
    response = urllib3.HTTPResponse(status=503, headers={"Retry-After": said} if said else {})

    assert retry.get_retry_after(response) == seconds


@pytest.mark.parametrize("status", [429, 500, 502, 503, 504])
def test_what_may_pass_is_asked_again(status: int) -> None:
    retry = http_client(4, secure=False).connection_pool_kw["retries"]

    assert retry.is_retry("PUT", status)
    assert retry.is_retry("POST", status)
    assert not retry.is_retry("PUT", 409)
