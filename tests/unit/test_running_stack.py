"""How the stack of a folder is found: from below, by name, and not where others could put one."""

from __future__ import annotations

import json
import os
import subprocess
import sys
from collections.abc import Iterator
from contextlib import contextmanager
from pathlib import Path

import pytest

from producer.cli import whole_command
from producer.commands.status import tell_of_missing_workers
from producer.complaints import unconfigured
from producer.origins import named_services, origins
from regioncap.async_client import AsyncClient
from regioncap.client import Client
from regioncap.errors import RegionCapError, UsageError
from regioncap.jobs import catalogue
from regioncap.running_stack import (
    find_stack,
    folder_above,
    noted,
    running_folders,
    try_lock,
)
from regioncap.settings import STACK_FOLDER, JobSettings, Settings, load_settings
from tests.simulation import s3, valkey
from tests.simulation.gate import Gate
from tests.support.jobs import job_at

BROKER = "redis://127.0.0.1:1/0"


@pytest.fixture(autouse=True)
def alone(monkeypatch: pytest.MonkeyPatch, tmp_path: Path) -> None:
    """No settings but those that a test makes."""
    for name in [name for name in os.environ if name.startswith("REGIONCAP_")]:
        monkeypatch.delenv(name)
    monkeypatch.setenv("XDG_STATE_HOME", str(tmp_path / "state"))
    monkeypatch.chdir(tmp_path)


@contextmanager
def up(folder: Path, bucket: str, **info: object) -> Iterator[None]:
    """As `regioncap up` leaves a folder while it runs."""
    data = folder / STACK_FOLDER
    data.mkdir(parents=True)
    settings = {"s3_bucket": bucket, "broker_url": BROKER}
    (data / "stack.json").write_text(json.dumps({"pid": 1, "settings": settings} | info))
    lock = try_lock(data / "stack.lock")
    assert lock is not None
    try:
        with noted(folder):
            yield
    finally:
        os.close(lock)


@pytest.fixture
def running(tmp_path: Path) -> Iterator[Path]:
    with up(tmp_path / "try", "mine"):
        (tmp_path / "try" / "a" / "b").mkdir(parents=True)
        yield tmp_path / "try"


def test_from_its_folder_and_all_below(running: Path, monkeypatch: pytest.MonkeyPatch) -> None:
    for folder, origin in (
        (running, "regioncap up"),
        (running / "a" / "b", f"regioncap up in {running}"),
    ):
        monkeypatch.chdir(folder)
        assert load_settings().s3_bucket == "mine"
        found = next(each for each in origins() if each.name == "s3_bucket")
        assert found.origin == origin
    monkeypatch.chdir(running.parent)
    assert load_settings().s3_bucket == "regioncap"


@pytest.mark.parametrize(
    ("own", "flags", "told"),
    [
        ('s3_bucket = "mine"', {"s3_bucket": "mine"}, []),
        ("", {"s3_bucket": "mine"}, []),
        ('s3_bucket = "theirs"', {}, ["s3_bucket (regioncap.toml)"]),
        # Other commands come without the flag.
        ('s3_bucket = "theirs"', {"s3_bucket": "mine"}, ["s3_bucket (regioncap.toml)"]),
        ("", {"broker_url": "redis://127.0.0.1:2/0"}, ["broker_url (flag)"]),
        ('s3_region = "moon"\ns3_secure = true', {},
         ["s3_secure (regioncap.toml)", "s3_region (regioncap.toml)"]),
        ('s3_secret_key = "k"', {}, ["s3_secret_key (regioncap.toml)"]),
    ],
)  # fmt: skip
def test_what_leads_commands_past_it_is_told(
    own: str,
    flags: dict[str, str],
    told: list[str],
    *,
    running: Path,
    monkeypatch: pytest.MonkeyPatch,
) -> None:
    (running / "regioncap.toml").write_text(own)
    monkeypatch.chdir(running)
    stack = {
        "broker_url": BROKER, "s3_bucket": "mine", "s3_secret_key": "", "s3_secure": "false",
        "s3_region": "us-east-1",
    }  # fmt: skip

    assert named_services(stack, **flags) == told


def test_the_nearest_counts(running: Path, monkeypatch: pytest.MonkeyPatch) -> None:
    with up(running / "a", "nearer"):
        monkeypatch.chdir(running / "a" / "b")
        assert load_settings().s3_bucket == "nearer"
    assert load_settings().s3_bucket == "mine"


def test_its_file_of_settings_goes_with_it(running: Path, monkeypatch: pytest.MonkeyPatch) -> None:
    (running / "regioncap.toml").write_text("max_boxes = 3")
    monkeypatch.chdir(running / "a")
    assert load_settings().max_boxes == 3
    (running / "a" / "regioncap.toml").write_text("seed = 7")
    assert (load_settings().max_boxes, load_settings().seed) == (10, 7)


def test_by_its_name(running: Path) -> None:
    for folder in running, str(running / "a"):
        assert Client(folder=folder).settings.s3_bucket == "mine"
        assert AsyncClient(folder=folder)._client.settings.s3_bucket == "mine"
    assert Client(folder=running, max_boxes=4).settings.max_boxes == 4
    assert load_settings().s3_bucket == "regioncap"


def test_by_the_name_of_a_folder_without(running: Path) -> None:
    with pytest.raises(UsageError, match="no stack is up in") as caught:
        Client(folder=running.parent)

    assert caught.value.code == "no-stack"
    assert str(running) in caught.value.hint


def test_elsewhere_it_is_said_where_one_runs(running: Path, tmp_path: Path) -> None:
    assert running_folders(STACK_FOLDER) == [running]
    told = unconfigured("s3_endpoint", {})

    assert f"a stack is up in {running}" in told
    assert "regioncap up" not in told
    assert list((tmp_path / "state").rglob("*")) != []


def test_one_that_was_killed_is_forgotten(tmp_path: Path) -> None:
    with up(tmp_path / "try", "mine"):
        (note,) = (tmp_path / "state" / "regioncap" / "stacks").iterdir()
        text = note.read_text()
    note.write_text(text)

    assert running_folders(STACK_FOLDER) == []
    assert not note.exists()
    assert "regioncap up" in unconfigured("s3_endpoint", {})


def test_one_of_another_user_above_is_not_taken(
    running: Path, monkeypatch: pytest.MonkeyPatch
) -> None:
    assert folder_above(running / "a", STACK_FOLDER) == running
    monkeypatch.setattr(os, "getuid", lambda: 12345)

    assert folder_above(running / "a", STACK_FOLDER) is None
    assert folder_above(running, STACK_FOLDER) == running


@pytest.mark.parametrize(
    ("queue", "starting", "said"),
    [
        ("caption", ["render", "caption"], ["render worker is still", "caption worker is still"]),
        ("caption", ["caption"], ["no render worker, so", "caption worker is still"]),
        (
            "caption.night",
            ["render", "caption"],
            ["render worker is still", "no caption worker on"],
        ),
        ("caption", [], ["no render worker, so", "no caption worker on"]),
    ],
)
def test_workers_that_are_starting_are_not_missing(
    queue: str,
    starting: list[str],
    said: list[str],
    *,
    tmp_path: Path,
    monkeypatch: pytest.MonkeyPatch,
    capsys: pytest.CaptureFixture[str],
) -> None:
    server = s3.S3Server()
    server.buckets["mine"] = {}
    store = s3.store_of(server, Settings(s3_bucket="mine"))
    monkeypatch.setattr(Client, "store", store)
    monkeypatch.setattr(Client, "redis", valkey.Client(valkey.Server(Gate().now_s)))
    job = job_at(1).model_copy(update={"settings": JobSettings(queue=queue)})
    catalogue.save(store, job)
    with up(tmp_path / "try", "mine", starting=starting):
        monkeypatch.chdir(tmp_path / "try")
        tell_of_missing_workers(Client(), job)

    lines = capsys.readouterr().err.splitlines()
    assert len(lines) == 2
    assert all(words in line for words, line in zip(said, lines, strict=True)), lines


#: Holds the lock of a stack's folder until it is ended.
_HOLD = """
import sys, time
from pathlib import Path
from regioncap.running_stack import try_lock
lock = try_lock(Path(sys.argv[1]) / "stack.lock")
print("held", flush=True)
time.sleep(60)
"""


@contextmanager
def holding(program: str, data: Path) -> Iterator[None]:
    """Runs a program that holds the lock of a folder, which names it as its stack."""
    command = [sys.executable, "-c", program, str(data)]
    with subprocess.Popen(command, stdout=subprocess.PIPE) as process:
        assert process.stdout is not None
        process.stdout.readline()
        (data / "stack.json").write_text(json.dumps({"pid": process.pid, "settings": {}}))
        try:
            yield
        finally:
            process.kill()


def test_down_names_the_folder_above(
    tmp_path: Path, monkeypatch: pytest.MonkeyPatch, capsys: pytest.CaptureFixture[str]
) -> None:
    data, below = tmp_path / STACK_FOLDER, tmp_path / "a"
    for folder in data, below:
        folder.mkdir()
    with holding(_HOLD, data):
        monkeypatch.chdir(below)
        whole_command()(["down"], standalone_mode=False, obj={})

    assert f"stopping the stack in {tmp_path}\n" in capsys.readouterr().err


#: Holds the lock of a stack's folder; told to end, another stack takes its place there.
_SUCCEED = """
import json, signal, sys, time
from pathlib import Path
from regioncap.local.files import write_private
from regioncap.running_stack import try_lock
folder = Path(sys.argv[1])
lock = try_lock(folder / "stack.lock")
def succeed(*_):
    write_private(folder / "stack.json", json.dumps({"pid": 1, "settings": {}}))
signal.signal(signal.SIGTERM, succeed)
print("held", flush=True)
time.sleep(600)
"""


def test_down_does_not_wait_for_the_next_one(
    tmp_path: Path, monkeypatch: pytest.MonkeyPatch, capsys: pytest.CaptureFixture[str]
) -> None:
    (data := tmp_path / STACK_FOLDER).mkdir()
    with holding(_SUCCEED, data):
        monkeypatch.chdir(tmp_path)
        whole_command()(["down"], standalone_mode=False, obj={})
        next_one = find_stack(data)

    assert next_one is not None
    assert next_one.pid == 1
    assert "down\n" in capsys.readouterr().err


def test_up_names_the_one_above(
    running: Path, monkeypatch: pytest.MonkeyPatch, capsys: pytest.CaptureFixture[str]
) -> None:
    command = ["up", "--engine", "openai", "--base-url", "http://127.0.0.1:1/v1"]
    told = []
    for folder in running / "a", running.parent:
        monkeypatch.chdir(folder)
        with pytest.raises(RegionCapError):
            whole_command()(command, standalone_mode=False, obj={})
        told.append(capsys.readouterr().err)

    assert f"one is up in {running} already" in told[0]
    assert "is up" not in told[1]
