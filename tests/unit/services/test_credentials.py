"""Where credentials of the store come from, and that they are renewed before they end."""

from __future__ import annotations

from collections.abc import Iterator
from datetime import UTC, datetime, timedelta
from pathlib import Path

import pytest
from minio.credentials.credentials import Credentials
from minio.credentials.providers import Provider

from regioncap.errors import StoreError, UsageError
from regioncap.services.credentials import AGAIN_S, MARGIN, SOURCES, Renewed, provider_of
from regioncap.settings import Settings
from tests.support.cloud import Cloud, cloud


@pytest.fixture(autouse=True)
def bare(monkeypatch: pytest.MonkeyPatch, tmp_path: Path) -> None:
    """A machine on which nothing is set."""
    import os

    for name in [name for name in os.environ if name.startswith("AWS_")]:
        monkeypatch.delenv(name)
    monkeypatch.setenv("HOME", str(tmp_path))
    monkeypatch.setenv("AWS_EC2_METADATA_DISABLED", "true")


@pytest.fixture
def sky() -> Iterator[Cloud]:
    with cloud() as server:
        yield server


def found() -> tuple[str, str | None, str]:
    provider = Renewed(SOURCES)
    held = provider.retrieve()
    assert held is not None
    return held.access_key, held.session_token, provider.found_in


def test_settings_come_first(monkeypatch: pytest.MonkeyPatch) -> None:
    monkeypatch.setenv("AWS_ACCESS_KEY_ID", "other")
    monkeypatch.setenv("AWS_SECRET_ACCESS_KEY", "other")

    held = provider_of(
        Settings(s3_access_key="k", s3_secret_key="s", s3_session_token="t")
    ).retrieve()

    assert (held.access_key, held.secret_key, held.session_token) == ("k", "s", "t")


@pytest.mark.parametrize(
    ("given", "missing"),
    [
        ({"s3_access_key": "k"}, "s3_secret_key"),
        ({"s3_secret_key": "s"}, "s3_access_key"),
        ({"s3_session_token": "t"}, "s3_access_key"),
    ],
)
def test_half_of_a_pair_is_refused(given: dict[str, str], missing: str) -> None:
    with pytest.raises(UsageError, match=missing):
        provider_of(Settings(**given))  # type: ignore[arg-type]


def test_environment(monkeypatch: pytest.MonkeyPatch) -> None:
    for name in "ACCESS_KEY_ID", "SECRET_ACCESS_KEY", "SESSION_TOKEN":
        monkeypatch.setenv(f"AWS_{name}", name.lower())

    assert found() == ("access_key_id", "session_token", "environment")


@pytest.mark.parametrize("profile", ["default", "other"])
def test_shared_file(monkeypatch: pytest.MonkeyPatch, tmp_path: Path, profile: str) -> None:
    (tmp_path / ".aws").mkdir()
    (tmp_path / ".aws" / "credentials").write_text(
        f"[{profile}]\naws_access_key_id = filed\naws_secret_access_key = s\n"
    )
    if profile != "default":
        monkeypatch.setenv("AWS_PROFILE", profile)

    assert found() == ("filed", None, "shared file")


def test_instance_role(monkeypatch: pytest.MonkeyPatch, sky: Cloud) -> None:
    monkeypatch.delenv("AWS_EC2_METADATA_DISABLED")
    monkeypatch.setenv("AWS_EC2_METADATA_SERVICE_ENDPOINT", f"{sky.url}/")

    assert found() == ("cloud-key", "token-1", "role")
    assert [path for _, path, _ in sky.asked] == [
        "/latest/api/token",
        "/latest/meta-data/iam/security-credentials/",
        "/latest/meta-data/iam/security-credentials/worker-role",
    ]


def test_container_role(monkeypatch: pytest.MonkeyPatch, sky: Cloud) -> None:
    monkeypatch.setenv("AWS_CONTAINER_CREDENTIALS_FULL_URI", f"{sky.url}/container")

    assert found() == ("cloud-key", "token-1", "role")


@pytest.fixture
def identity(monkeypatch: pytest.MonkeyPatch, tmp_path: Path, sky: Cloud) -> Path:
    token = tmp_path / "token"
    token.write_text("who-i-am")
    monkeypatch.setenv("AWS_WEB_IDENTITY_TOKEN_FILE", str(token))
    monkeypatch.setenv("AWS_ROLE_ARN", "arn:aws:iam::1:role/worker")
    monkeypatch.setenv("AWS_ENDPOINT_URL_STS", sky.url)
    return token


def test_web_identity(identity: Path, sky: Cloud) -> None:
    assert found() == ("cloud-key", "token-1", "role")
    (_, _, query) = sky.asked[0]
    assert query["WebIdentityToken"] == [identity.read_text()]
    assert query["RoleArn"] == ["arn:aws:iam::1:role/worker"]


def test_an_identity_that_is_refused_is_no_unsigned_request(identity: Path, sky: Cloud) -> None:
    sky.is_away = True

    with pytest.raises(StoreError, match="403") as caught:
        Renewed(SOURCES).retrieve()

    assert caught.value.code == "no-credentials"
    assert identity.read_text() not in str(caught.value)


def test_nothing_anywhere_is_unsigned() -> None:
    provider = Renewed(SOURCES)

    assert provider.retrieve() is None
    assert provider.found_in == ""


class Clock:
    def __init__(self) -> None:
        self.now = datetime(2026, 1, 1, tzinfo=UTC)

    def monotonic(self) -> float:
        return self.now.timestamp()


class Given(Provider):
    """Credentials for an hour, numbered; or none."""

    def __init__(self, clock: Clock) -> None:
        self.clock = clock
        self.asked = 0
        self.is_away = False
        self.lifetime: timedelta | None = timedelta(hours=1)

    def retrieve(self) -> Credentials:
        self.asked += 1
        if self.is_away:
            raise ValueError("away")
        ends = self.clock.now + self.lifetime if self.lifetime else None
        return Credentials(f"key-{self.asked}", "s", "t", ends)


@pytest.fixture
def clock() -> Clock:
    return Clock()


@pytest.fixture
def given(clock: Clock) -> Given:
    return Given(clock)


@pytest.fixture
def renewed(clock: Clock, given: Given) -> Renewed:
    return Renewed({"role": lambda: given}, clock=lambda: clock.now, monotonic=clock.monotonic)


def key(provider: Renewed) -> str:
    held = provider.retrieve()
    assert held is not None
    return held.access_key


def test_renewed_before_they_end(clock: Clock, given: Given, renewed: Renewed) -> None:
    first = key(renewed)
    clock.now += timedelta(hours=1) - MARGIN - timedelta(seconds=1)
    assert key(renewed) == first
    clock.now += timedelta(seconds=2)
    assert key(renewed) == "key-2"
    assert given.asked == 2


def test_a_day(clock: Clock, renewed: Renewed) -> None:
    ends = []
    for _ in range(24 * 60):
        held = renewed.retrieve()
        assert held is not None
        assert held.expiration is not None
        ends.append(held.expiration.replace(tzinfo=UTC) - clock.now)
        clock.now += timedelta(minutes=1)

    assert min(ends) >= MARGIN - timedelta(minutes=1)


def test_what_cannot_be_renewed_holds_until_its_end(
    clock: Clock, given: Given, renewed: Renewed
) -> None:
    first = key(renewed)
    given.is_away = True
    clock.now += timedelta(hours=1) - MARGIN + timedelta(seconds=1)
    assert key(renewed) == key(renewed) == first
    assert given.asked == 2  # not with each request
    clock.now += timedelta(seconds=AGAIN_S)
    assert key(renewed) == first
    assert given.asked == 3
    clock.now += MARGIN
    for _ in range(2):
        with pytest.raises(StoreError, match="role: away"):
            renewed.retrieve()
    given.is_away = False
    assert key(renewed) != first


def test_files_are_read_again(clock: Clock, given: Given, renewed: Renewed) -> None:
    given.lifetime = None
    first = key(renewed)
    assert key(renewed) == first
    clock.now += timedelta(seconds=AGAIN_S)
    assert key(renewed) == "key-2"
