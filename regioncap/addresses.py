"""Addresses: URLs of services, which may hold a login that is for nobody to see."""

from __future__ import annotations

from urllib.parse import SplitResult, urlsplit

from pydantic import SecretStr

#: Stands for what is secret.
MASK = "********"


def read(address: str) -> SplitResult | None:
    """The parts of a URL; None where it cannot be read.

    A `/`, `#` or `?` in a password ends the host there: the rest of the password, and the host,
    would stand where nobody takes them for one.
    """
    try:
        parts = urlsplit(address)
        _ = parts.port  # looked at only now
    except ValueError:
        return None
    beyond = (parts.path, parts.query, parts.fragment)
    return None if any("@" in part for part in beyond) else parts


def masked(address: str, *, hide_path: bool = False) -> str:
    """A URL without its secrets: its scheme, user and host tell which one it is.

    Args:
        address: The URL; one that cannot be read is a secret as a whole.
        hide_path: Whether its path is one, as that of a web hook, and who asks there is, too.
    """
    parts = read(address)
    if parts is None or not parts.hostname:
        return MASK
    login, _, host = parts.netloc.rpartition("@")
    if hide_path:
        rest = parts.path.strip("/") or login or parts.query or parts.fragment
        return f"{parts.scheme}://{host}{f'/{MASK}' if rest else ''}"
    user, has_password, _ = login.partition(":")
    if login:  # a user alone can be a token
        host = f"{user}:{MASK}@{host}" if has_password else f"{MASK}@{host}"
    return parts._replace(netloc=host, query="", fragment="").geturl()


def public(address: str) -> str:
    """An address that most often has no secrets, as messages may have it."""
    return masked(address) if "@" in address else address


def redis_url(url: SecretStr) -> SecretStr:
    """The address of one server; `rediss` is with TLS."""
    scheme = url.get_secret_value().partition("://")[0]
    if "sentinel" in scheme:
        raise ValueError("Redis Sentinel is not served; name the primary, as redis://HOST:PORT/0")
    if "cluster" in scheme:
        raise ValueError("a cluster of Redis cannot carry the queue; name one server")
    if scheme not in {"redis", "rediss"}:
        raise ValueError("must begin with redis:// or rediss://")
    if read(url.get_secret_value()) is None:
        raise ValueError(
            "cannot be read as redis://USER:PASSWORD@HOST:PORT/0; in a password write / as %2F,"
            " # as %23, ? as %3F and @ as %40"
        )
    return url


def http_url(url: SecretStr) -> SecretStr:
    """An address of HTTP, or nothing; messages say nothing of it, as it may hold a token."""
    try:
        parts = urlsplit(url.get_secret_value())
        is_one = parts.scheme in {"http", "https"} and bool(parts.hostname) and parts.port != 0
    except ValueError:
        is_one = False
    if url.get_secret_value() and not is_one:
        raise ValueError("must begin with http:// or https:// and name a host")
    return url
