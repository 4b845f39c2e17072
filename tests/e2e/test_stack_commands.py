"""`up`, `down`, `demo`, `doctor` and plain Celery workers, as a user types them."""

from __future__ import annotations

import json
import os
import signal
import subprocess
import sys
import time
from collections.abc import Iterator, Sequence
from contextlib import contextmanager, suppress
from pathlib import Path

import psutil
import pytest
import redis
from PIL import Image

from regioncap.running_stack import find_stack
from tests.support.system import ROOT, System, read_jsonl, run_command, write_jsonl

PLAIN_ENV = {k: v for k, v in os.environ.items() if not k.startswith("REGIONCAP_")}


def wait_for(what: str, probe: object, timeout_s: float = 60) -> None:
    assert callable(probe)
    deadline = time.monotonic() + timeout_s
    while not probe():
        assert time.monotonic() < deadline, f"no {what} after {timeout_s} s"
        time.sleep(0.1)


@contextmanager
def up(
    folder: Path, *options: str, flags: Sequence[str] = (), said: list[str] | None = None
) -> Iterator[subprocess.Popen[bytes]]:
    """`regioncap up` in a folder, until it says that it is up; what it says goes to `said`."""
    with subprocess.Popen(
        [sys.executable, "-m", "producer", *flags, "up", *options],
        cwd=folder,
        env=PLAIN_ENV | {"PYTHONPATH": str(ROOT)},
        stderr=subprocess.PIPE,
        stdout=subprocess.PIPE,
    ) as process:
        try:
            assert process.stderr is not None
            for line in process.stderr:
                if said is not None:
                    said.append(line.decode())
                if line.startswith(b"  regioncap submit"):  # the last that it says
                    break
            else:
                pytest.fail("up ended")
            yield process
        finally:
            process.send_signal(signal.SIGTERM)
            process.communicate(timeout=60)


def next_restart(process: subprocess.Popen[bytes]) -> str:
    """The next line of a running `up`, which tells of an end."""
    assert process.stderr is not None
    line = process.stderr.readline().decode()
    assert " ended with " in line, line
    return line


def descendants(pid: int) -> list[psutil.Process]:
    children: list[psutil.Process] = psutil.Process(pid).children(recursive=True)
    return children


def workers(pid: int) -> list[psutil.Process]:
    """The worker processes below a process."""
    found = []
    for child in descendants(pid):
        with suppress(psutil.NoSuchProcess):
            if "workers." in " ".join(child.cmdline()):
                found.append(child)
    return found


def test_up__starts_dead_workers_again_and_a_second_terminal_needs_no_configuration(
    tmp_path: Path,
) -> None:
    Image.new("RGB", (64, 64), (0, 120, 40)).save(tmp_path / "a.png")
    write_jsonl(tmp_path / "my.jsonl", [{"image": "a.png"}])
    with up(tmp_path) as process:
        for worker in workers(process.pid):
            worker.kill()
        told = {next_restart(process) for _ in range(2)}
        submitted = run_command("submit", "my.jsonl", "--wait", env=PLAIN_ENV, cwd=tmp_path)
        started = descendants(process.pid)
        doctor = run_command("doctor", env=PLAIN_ENV, cwd=tmp_path)
        job = submitted.stdout.decode().strip()
        results = run_command("results", job, "-o", "out.jsonl", env=PLAIN_ENV, cwd=tmp_path)
        down = run_command("down", env=PLAIN_ENV, cwd=tmp_path)
        process.wait(timeout=60)

    assert {words.partition(" and is")[0] for words in told} == {
        "render-1 ended with signal 9 (Killed)", "caption-2 ended with signal 9 (Killed)",
    }  # fmt: skip
    assert doctor.returncode == 0, doctor.stdout.decode()
    assert submitted.returncode == 0, submitted.stderr.decode()
    assert results.returncode == 0
    assert "green" in read_jsonl(tmp_path / "out.jsonl")[0]["answer"]
    assert (down.returncode, process.returncode) == (0, 0)
    assert not [child for child in started if child.is_running()]


@pytest.mark.more
def test_up__outlives_a_redis_that_refuses_writes(tmp_path: Path) -> None:
    Image.new("RGB", (64, 64), (0, 120, 40)).save(tmp_path / "a.png")
    write_jsonl(tmp_path / "my.jsonl", [{"image": "a.png"}])
    with up(tmp_path) as process:
        found = find_stack(tmp_path / ".regioncap")
        assert found is not None
        with redis.Redis.from_url(found.settings["broker_url"]) as broker:
            broker.config_set("maxmemory", 1)
            for worker in workers(process.pid):
                worker.kill()
            told = [next_restart(process) for _ in range(6)]
            broker.config_set("maxmemory", 0)
        submitted = run_command("submit", "my.jsonl", "--wait", env=PLAIN_ENV, cwd=tmp_path)

    # Each worker, again and again; the broker itself and the store run on.
    assert {words.partition(" ")[0] for words in told} == {"render-1", "caption-2"}
    assert sum("ended with exit status" in words for words in told) >= 4
    assert submitted.returncode == 0, submitted.stderr.decode()


def test_up__uses_the_bucket_that_commands_use(tmp_path: Path) -> None:
    Image.new("RGB", (64, 64), (0, 120, 40)).save(tmp_path / "a.png")
    write_jsonl(tmp_path / "my.jsonl", [{"image": "a.png"}])
    (tmp_path / "regioncap.toml").write_text('s3_bucket = "mine"\n')
    with up(tmp_path):
        job = run_command("submit", "my.jsonl", env=PLAIN_ENV, cwd=tmp_path).stdout.decode()
        watched = run_command("watch", job.strip(), "--timeout", "90", env=PLAIN_ENV, cwd=tmp_path)

    assert watched.returncode == 0, watched.stderr.decode()


def test_up__starts_nothing_where_the_engine_cannot_start(tmp_path: Path) -> None:
    done = run_command(
        "up",
        "--engine",
        "openai",
        env=PLAIN_ENV | {"REGIONCAP_OPENAI_BASE_URL": "http://127.0.0.1:1/v1"},
        cwd=tmp_path,
    )

    assert done.returncode == 4
    assert b"http://127.0.0.1:1/v1 does not serve: " in done.stderr
    assert b"check that the server runs, and its address" in done.stderr
    assert not (tmp_path / ".regioncap").exists()


@pytest.mark.more
def test_up__says_that_commands_go_to_servers_that_are_named(tmp_path: Path) -> None:
    (tmp_path / "regioncap.toml").write_text('s3_endpoint = "127.0.0.1:1"\n')
    servers, said = ["--render-workers", "0", "--caption-workers", "0"], list[str]()
    with up(tmp_path, *servers, flags=["--broker-url", "redis://127.0.0.1:1/0"], said=said):
        pass
    (tmp_path / "regioncap.toml").unlink()
    silent = list[str]()
    with up(tmp_path, *servers, said=silent):
        pass

    assert "broker_url (flag) and s3_endpoint (regioncap.toml) differ from theirs" in "".join(said)
    assert "servers of its own" not in "".join(silent)


def test_doctor__names_what_is_missing(tmp_path: Path) -> None:
    found = run_command(
        "--broker-url", "redis://127.0.0.1:1/0", "--s3-endpoint", "127.0.0.1:1", "doctor",
        env=PLAIN_ENV, cwd=tmp_path,
    )  # fmt: skip

    assert found.returncode == 4
    assert "FAIL" in found.stdout.decode()


@pytest.mark.parametrize(
    "number", [signal.SIGINT, pytest.param(signal.SIGTERM, marks=pytest.mark.more)]
)
def test_demo__stops_everything_when_interrupted(tmp_path: Path, number: int) -> None:
    with subprocess.Popen(
        [sys.executable, "-m", "producer", "demo"],
        cwd=tmp_path,
        env=PLAIN_ENV | {"PYTHONPATH": str(ROOT), "TMPDIR": str(tmp_path)},
        stderr=subprocess.DEVNULL,
        stdout=subprocess.DEVNULL,
    ) as process:
        wait_for("children", lambda: len(descendants(process.pid)) >= 4)
        started = descendants(process.pid)
        process.send_signal(number)
        process.wait(timeout=60)

    assert process.returncode == 130
    assert not [child for child in started if child.is_running()]
    assert not list(tmp_path.glob("regioncap-demo-*"))


def test_demo__leaves_results_pictures_and_a_gallery(tmp_path: Path) -> None:
    done = run_command("demo", env=PLAIN_ENV, cwd=tmp_path)

    assert done.returncode == 0, done.stderr.decode()
    records = read_jsonl(tmp_path / "demo-out/results.jsonl")
    assert len(records) >= 8
    assert sum(record["type"] == "without_bbox" for record in records) >= 2
    assert all(record["error"] is None for record in records)
    assert len(list((tmp_path / "demo-out/marked").glob("*.jpg"))) == len(records)
    page = (tmp_path / "demo-out/gallery.html").read_text()
    assert all(str(record["id"]) in page for record in records)
    assert "gallery.html" in done.stdout.decode()


@pytest.mark.more
def test_plain_celery_workers_serve(system: System, tmp_path: Path) -> None:
    """Workers started by hand, on a queue of their own."""
    Image.new("RGB", (64, 64), (0, 120, 40)).save(tmp_path / "a.png")
    file = write_jsonl(tmp_path / "my.jsonl", [{"image": "a.png"}])
    with subprocess.Popen(
        [sys.executable, "-m", "celery", "-A", "workers.caption", "worker",
         "-Q", "caption.second", "-P", "threads", "-n", "second@%h"],
        cwd=ROOT,
        env=system.env | {"REGIONCAP_QUEUE": "caption.second"},
        stderr=subprocess.DEVNULL,
        stdout=subprocess.DEVNULL,
    ) as worker:  # fmt: skip
        try:
            [record] = system.captioned(file, "--queue", "caption.second")
        finally:
            worker.terminate()
            worker.wait(timeout=30)

    assert record["error"] is None


@pytest.mark.more
def test_workers_restarted_in_the_middle_lose_nothing(tmp_path: Path) -> None:
    for i in range(40):
        Image.effect_noise((200, 150), 40).save(tmp_path / f"{i}.png")
    write_jsonl(tmp_path / "my.jsonl", [{"image": f"{i}.png"} for i in range(40)])
    (tmp_path / "regioncap.toml").write_text("shard_size = 2\nvisibility_timeout_s = 5\n")
    with up(tmp_path) as process:
        job = run_command("submit", "my.jsonl", env=PLAIN_ENV, cwd=tmp_path).stdout.decode()
        for worker in workers(process.pid):
            worker.terminate()
        watched = run_command("watch", job.strip(), env=PLAIN_ENV, cwd=tmp_path)
        results = run_command("results", job.strip(), env=PLAIN_ENV, cwd=tmp_path)

    assert watched.returncode == 0, watched.stderr.decode()
    records = [json.loads(line) for line in results.stdout.splitlines()]
    assert [record["index"] for record in records] == list(range(40))
