"""`regioncap serve` as a process: what it prints, what it refuses, and how it ends."""

from __future__ import annotations

import signal
import subprocess
import sys
import urllib.error
import urllib.request
from pathlib import Path

import pytest

from tests.support.serving import serving
from tests.support.system import ROOT, run_command


def status(address: str) -> int:
    """The status of an answer, redirects followed, with cookies."""
    opener = urllib.request.build_opener(urllib.request.HTTPCookieProcessor())
    try:
        with opener.open(address, timeout=30) as answer:
            return int(answer.status)
    except urllib.error.HTTPError as error:
        return int(error.code)


@pytest.fixture(scope="module")
def new_bucket(settings_env: dict[str, str]) -> dict[str, str]:
    return settings_env | {"REGIONCAP_S3_BUCKET": "nobody-has-submitted"}


def test_it_serves_before_the_first_job(new_bucket: dict[str, str]) -> None:
    with serving(new_bucket) as address:
        assert address.startswith("http://127.0.0.1:")
        assert status(address) == 200
        assert status(address.partition("?")[0]) == 403


def test_a_token_from_a_file_is_not_printed(new_bucket: dict[str, str], tmp_path: Path) -> None:
    file = tmp_path / "token"
    file.write_text("0123456789abcdef\n")
    with serving(new_bucket, "--token-file", str(file)) as address:
        assert "?" not in address
        assert status(address) == 403
        assert status(f"{address}?token=0123456789abcdef") == 200


def test_without_a_token_everybody_is_let_in(new_bucket: dict[str, str]) -> None:
    with serving(new_bucket, "--no-token") as address:
        assert status(address) == 200


def test_the_store_is_needed_and_redis_is_not(
    new_bucket: dict[str, str], settings_env: dict[str, str]
) -> None:
    nowhere = "redis://127.0.0.1:1/0"
    with serving(settings_env | {"REGIONCAP_BROKER_URL": nowhere}) as address:
        assert status(address) == 200
    done = run_command("serve", env=new_bucket | {"REGIONCAP_S3_ENDPOINT": "127.0.0.1:1"})
    assert done.returncode == 4
    assert b"store-unavailable" in done.stderr


@pytest.mark.parametrize(
    ("options", "words"),
    [
        (["--token-file", "missing"], "bad-token"),
        (["--token-file", "short"], "bad-token"),
        (["--token-file", "spaced"], "bad-token"),
        (["--token-file", "short", "--no-token"], "usage"),
        (["--host", "192.0.2.1"], "port-taken"),
        (["--host", "no.such.host.invalid"], "port-taken"),
    ],
)
def test_what_cannot_be_is_said(
    new_bucket: dict[str, str], tmp_path: Path, options: list[str], words: str
) -> None:
    (tmp_path / "short").write_text("0123456789abcde")
    (tmp_path / "spaced").write_text("0123456789 0123456789")

    done = run_command("serve", *options, env=new_bucket, cwd=tmp_path)

    assert done.returncode == 2
    assert words in done.stderr.decode()


def test_a_port_that_is_taken(new_bucket: dict[str, str]) -> None:
    with serving(new_bucket) as address:
        port = address.partition("/?")[0].rpartition(":")[2]
        done = run_command("serve", "--port", port, env=new_bucket)
    assert done.returncode == 2
    assert b"port-taken" in done.stderr


def test_ctrl_c_ends_it(new_bucket: dict[str, str]) -> None:
    argv = [sys.executable, "-m", "producer", "serve", "--port", "0"]
    process = subprocess.Popen(
        argv, env=new_bucket | {"PYTHONPATH": str(ROOT)}, stdout=subprocess.PIPE,
        stderr=subprocess.PIPE, text=True,
    )  # fmt: skip
    assert process.stdout
    assert status(process.stdout.readline().strip()) == 200
    process.send_signal(signal.SIGINT)
    _, said = process.communicate(timeout=60)
    assert process.returncode == 130
    assert "Traceback" not in said
