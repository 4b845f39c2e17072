"""The HTTP client of the store: connections, patience, and whom it trusts."""

from __future__ import annotations

import os
import ssl
from typing import Any, Self

import urllib3

from regioncap import metrics

#: Connections kept open at a time: one for each thread that may ask, as a caption worker has up to
#: 256 shards in hand. What is asked beyond them opens one for itself, with TLS all over again.
_CONNECTIONS = 288

#: Longest wait that a server is granted when it says how long (Retry-After): whoever waits holds a
#: thread, and what it does goes back to the queue soon.
_LONGEST_S = 20.0


class _CountedRetry(urllib3.Retry):
    """Tries again, and counts it."""

    def get_retry_after(self, response: urllib3.BaseHTTPResponse) -> float | None:
        """Seconds to wait, as the server says, within reason."""
        seconds = super().get_retry_after(response)
        return None if seconds is None else min(seconds, _LONGEST_S)

    def increment(self, *args: Any, **kwargs: Any) -> Self:
        metrics.add("store_retries")
        return super().increment(*args, **kwargs)


def http_client(attempts: int, secure: bool) -> urllib3.PoolManager:
    """A pool of connections.

    Args:
        attempts: Further tries of a request that is lost, or that a busy server refuses.
        secure: Whether it speaks TLS.
    """
    retries = _CountedRetry(
        total=attempts,
        backoff_factor=0.2,
        status_forcelist=[429, 500, 502, 503, 504],
        raise_on_status=False,
        allowed_methods=None,  # also POST, by which many objects are removed at once
    )
    options: dict[str, Any] = {}
    if secure:
        options["cert_reqs"] = "CERT_REQUIRED"
        options["ca_certs"] = (
            os.environ.get("SSL_CERT_FILE") or ssl.get_default_verify_paths().cafile
        )
    return urllib3.PoolManager(
        num_pools=2,
        maxsize=_CONNECTIONS,
        timeout=urllib3.Timeout(connect=5, read=60),
        retries=retries,
        **options,
    )
