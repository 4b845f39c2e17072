"""What is shown of an address holds no secret, however it is written."""

from __future__ import annotations

import pytest

from regioncap.addresses import MASK, masked, public
from regioncap.errors import UsageError
from regioncap.settings import load_settings

#: Passwords that nobody escaped: the host seems to end in each of them.
BROKEN = [
    "redis://worker:pa/s3cret@h:6379/0",
    "redis://worker:pa#s3cret@h:6379/0",
    "redis://worker:pa?s3cret@h:6379/0",
    "redis://worker:12/s3cret@h:6379/0",
    "redis://worker:s3cret/x",
    "redis://worker:[s3cret@h:6379/0",
]


@pytest.mark.parametrize("url", [*BROKEN, "redis://:s3cret@:6379/0"])
def test_masked__what_cannot_be_read_is_a_secret_as_a_whole(url: str) -> None:
    assert masked(url) == MASK


@pytest.mark.parametrize(
    ("url", "shown"),
    [
        ("redis://127.0.0.1:6379/0", "redis://127.0.0.1:6379/0"),
        ("redis://:s3cret@host:1/0", "redis://:********@host:1/0"),
        ("redis://me:s@3cret@host:1/0", "redis://me:********@host:1/0"),
        ("redis://s3cret@host:1/0", "redis://********@host:1/0"),
        ("rediss://me:s3cret@host/0?ssl_password=s3cret", "rediss://me:********@host/0"),
        ("rediss://me:s3cret@host/0#s3cret", "rediss://me:********@host/0"),
    ],
)
def test_masked__shows_where_it_is(url: str, shown: str) -> None:
    assert masked(url) == shown


@pytest.mark.parametrize(
    ("url", "shown"),
    [
        ("https://hooks.slack.com/services/T0/s3cret", "https://hooks.slack.com/********"),
        ("https://s3cret@host:8443", "https://host:8443/********"),
        ("https://host/?token=s3cret", "https://host/********"),
        ("https://host", "https://host"),
    ],
)
def test_masked__shows_no_path_that_is_a_secret(url: str, shown: str) -> None:
    assert masked(url, hide_path=True) == shown


@pytest.mark.parametrize(
    ("url", "shown"),
    [
        ("http://127.0.0.1:8000/v1?version=1", "http://127.0.0.1:8000/v1?version=1"),
        ("127.0.0.1:8000/v1", "127.0.0.1:8000/v1"),
        ("https://me:s3cret@host/v1", "https://me:********@host/v1"),
    ],
)
def test_public__is_as_it_was_given_but_for_a_login(url: str, shown: str) -> None:
    assert public(url) == shown


@pytest.mark.parametrize("url", BROKEN)
def test_redis_url__says_what_to_escape_and_not_the_password(url: str) -> None:
    with pytest.raises(UsageError, match="write / as %2F") as caught:
        load_settings(broker_url=url)
    assert caught.value.code == "bad-settings"
    assert "s3cret" not in str(caught.value)


def test_redis_url__takes_a_password_that_is_escaped() -> None:
    url = "redis://worker:pa%2F%23%3Fss@h:6379/0"
    assert load_settings(broker_url=url).broker_url.get_secret_value() == url
