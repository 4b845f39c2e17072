"""A worker whose keys the cloud gives it: they are signed with, and renewed while it works."""

from __future__ import annotations

from collections.abc import Iterator
from datetime import timedelta
from pathlib import Path

import pytest
from minio.credentials.credentials import Credentials

from producer.checks import run_checks
from regioncap.errors import StoreError
from regioncap.jobs.results import read
from regioncap.services import credentials
from regioncap.services.store import Store
from regioncap.settings import Settings, load_settings
from tests.support.cloud import Cloud, cloud
from tests.support.proxy import Proxy, Rule, proxied
from tests.support.stages import Stages

TOKEN = "x-amz-security-token"


@pytest.fixture
def real(stack_settings: dict[str, str]) -> Settings:
    return load_settings(**stack_settings)


@pytest.fixture
def sky(real: Settings, monkeypatch: pytest.MonkeyPatch, tmp_path: Path) -> Iterator[Cloud]:
    """The cloud, which gives the store's keys to this machine."""
    monkeypatch.setenv("HOME", str(tmp_path))
    for name in "AWS_ACCESS_KEY_ID", "AWS_PROFILE", "AWS_EC2_METADATA_DISABLED":
        monkeypatch.delenv(name, raising=False)
    with cloud() as server:
        server.access_key = real.s3_access_key
        server.secret_key = real.s3_secret_key.get_secret_value()
        monkeypatch.setenv("AWS_EC2_METADATA_SERVICE_ENDPOINT", server.url)
        yield server


@pytest.fixture
def proxy(real: Settings) -> Iterator[Proxy]:
    """The store as it is where sessions are known: ours would refuse a token."""
    with proxied(real.s3_endpoint) as proxy:
        proxy.keys = Credentials(real.s3_access_key, real.s3_secret_key.get_secret_value())
        proxy.ignored = {TOKEN}
        yield proxy


@pytest.fixture
def settings(real: Settings, proxy: Proxy) -> Settings:
    return real.model_copy(
        update={
            "s3_endpoint": proxy.endpoint,
            "s3_access_key": "",
            "s3_secret_key": type(real.s3_secret_key)(""),
        }
    )


def test_a_job_with_a_role_whose_keys_end(
    sky: Cloud, settings: Settings, proxy: Proxy, tmp_path: Path, monkeypatch: pytest.MonkeyPatch
) -> None:
    sky.lifetime = timedelta(minutes=4)  # so soon that it is time to renew them
    monkeypatch.setattr(credentials, "AGAIN_S", 0.0)
    stages = Stages(settings)
    job = stages.job(tmp_path)
    stages.render.run(job.job, 0)
    stages.caption.run(job.job, 0)
    stages.engine.close()

    assert [line["error"] for line in read(stages.store, job)] == [None, None]
    tokens = proxy.values(TOKEN)
    assert len(set(tokens)) == len(tokens) == sky.given > 10
    assert None not in tokens


def test_a_session_token_of_the_settings(sky: Cloud, real: Settings, proxy: Proxy) -> None:
    update = {"s3_endpoint": proxy.endpoint, "s3_session_token": type(real.s3_secret_key)("mine")}
    Store(real.model_copy(update=update)).put("token", b"x")

    assert proxy.values(TOKEN) == ["mine"]
    assert sky.given == 0


def test_doctor_says_whose_requests_they_are(sky: Cloud, settings: Settings) -> None:
    found = next(check for check in run_checks(settings) if check.name == "store")

    assert (found.status, sky.given) == ("ok", found.what.count("signed by role") * sky.given)
    assert "signed by role" in found.what


def test_nothing_found_is_said(
    sky: Cloud, settings: Settings, proxy: Proxy, monkeypatch: pytest.MonkeyPatch
) -> None:
    monkeypatch.setenv("AWS_EC2_METADATA_DISABLED", "true")
    proxy.rules = [Rule(403, "AccessDenied")]

    with pytest.raises(StoreError, match="not signed") as caught:
        Store(settings, attempts=0).check()

    assert "docs/stores.md" in caught.value.hint
    assert proxy.values("authorization") == [None]
    assert sky.asked == []
