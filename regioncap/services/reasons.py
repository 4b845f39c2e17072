"""Why a service cannot be reached, in a few words without addresses or secrets."""

from __future__ import annotations

import socket
import ssl
from collections.abc import Iterator

_CERTIFICATE = "the server's certificate is not trusted"


def reason(error: BaseException) -> str:
    """The cause below what a client library raised, as the system names it."""
    causes = list(_causes(error))
    for cause in causes:
        if isinstance(cause, ssl.SSLCertVerificationError):
            return f"{_CERTIFICATE}: {cause.verify_message}"
        if isinstance(cause, ssl.SSLError):
            return f"TLS fails: {_words(cause)}"
    for cause in causes:
        if isinstance(cause, socket.gaierror):
            return "its name is not known here"
        if isinstance(cause, TimeoutError):
            return "no answer in time"
        if isinstance(cause, OSError) and cause.strerror:
            return cause.strerror
    return type(error).__name__


def is_certificate(error: BaseException) -> bool:
    """Whether it is that the server's certificate is not trusted."""
    return any(isinstance(cause, ssl.SSLCertVerificationError) for cause in _causes(error))


def is_tls(error: BaseException) -> bool:
    """Whether TLS itself fails."""
    return any(isinstance(cause, ssl.SSLError) for cause in _causes(error))


def _causes(error: BaseException) -> Iterator[BaseException]:
    """An error and all that is behind it: its causes, and what libraries hand on as arguments."""
    todo, seen = [error], set[int]()
    while todo:
        each = todo.pop(0)
        if id(each) in seen:
            continue
        seen.add(id(each))
        yield each
        behind = [each.__cause__, each.__context__, getattr(each, "reason", None), *each.args]
        todo += [found for found in behind if isinstance(found, BaseException)]


def _words(error: ssl.SSLError) -> str:
    """`wrong version number` of an error that OpenSSL names WRONG_VERSION_NUMBER."""
    return (error.reason or "unknown reason").replace("_", " ").lower()
