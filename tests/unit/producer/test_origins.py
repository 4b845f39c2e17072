"""Where each setting has its value from, without its secrets."""

from __future__ import annotations

from pathlib import Path

import pytest

from producer.origins import origin_of, origins


@pytest.fixture(autouse=True)
def _empty_folder(tmp_path: Path, monkeypatch: pytest.MonkeyPatch) -> None:
    monkeypatch.chdir(tmp_path)


def test_origins__names_the_strongest_source(monkeypatch: pytest.MonkeyPatch) -> None:
    Path("regioncap.toml").write_text("max_boxes = 3\ntop_p = 0.5\nmax_tokens = 99\n")
    monkeypatch.setenv("REGIONCAP_MAX_BOXES", "4")
    monkeypatch.setenv("REGIONCAP_TOP_P", "0.6")

    found = {each.name: (each.value, each.origin) for each in origins(max_boxes=5, seed=None)}

    assert found["max_boxes"] == (5, "flag")
    assert found["top_p"] == (0.6, "environment")
    assert found["max_tokens"] == (99, "regioncap.toml")
    assert found["seed"] == (None, "default")
    assert origin_of("top_p") == "environment"


@pytest.mark.parametrize(
    ("url", "shown"),
    [
        ("redis://127.0.0.1:6379/0", "redis://127.0.0.1:6379/0"),
        ("redis://:s3cret@host:1/0", "redis://:********@host:1/0"),
        ("rediss://me:s3cret@host/0?ssl_password=s3cret", "rediss://me:********@host/0"),
    ],
)
def test_origins__masks_secrets(monkeypatch: pytest.MonkeyPatch, url: str, shown: str) -> None:
    monkeypatch.setenv("REGIONCAP_S3_SECRET_KEY", "s3cret")

    found = {each.name: each.value for each in origins(broker_url=url)}

    assert found["broker_url"] == shown
    assert found["s3_secret_key"] == "********"
    assert "s3cret" not in str(found)
    plain = {each.name: each.value for each in origins(secrets=True, broker_url=url)}
    assert (plain["broker_url"], plain["s3_secret_key"]) == (url, "s3cret")
