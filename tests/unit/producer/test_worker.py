"""`regioncap worker` becomes a Celery worker that has the settings it was given."""

from __future__ import annotations

import os
from contextlib import suppress
from pathlib import Path
from typing import Any

import pytest

from producer.cli import app
from regioncap.errors import EngineStartError, UsageError
from regioncap.local import Command
from tests.support.gpus import TWO_GPUS, put_smi


@pytest.fixture
def started(monkeypatch: pytest.MonkeyPatch, tmp_path: Path) -> dict[str, Any]:
    """What the process would have become."""
    monkeypatch.chdir(tmp_path)
    seen: dict[str, Any] = {}

    monkeypatch.setattr(os, "execve", lambda _, argv, env: seen.update(argv=argv, env=env))
    return seen


def run(*arguments: str) -> Any:
    return app(["worker", "caption", *arguments], standalone_mode=False, obj={})


def inherited(folder: Path) -> set[str]:
    """The files of a folder that a process started from here would have open."""
    names = set()
    for link in Path("/proc/self/fd").iterdir():
        with suppress(OSError):  # that of the listing itself
            if os.get_inheritable(int(link.name)):
                names.add(str(link.readlink()))
    return {name for name in names if name.startswith(str(folder))}


def test_flags_reach_the_worker(started: dict[str, Any]) -> None:
    flags = ["--broker-url", "redis://elsewhere:1/0", "worker", "caption", "--concurrency", "3"]
    app(flags, standalone_mode=False, obj={})

    assert started["env"]["REGIONCAP_BROKER_URL"] == "redis://elsewhere:1/0"
    assert started["env"]["REGIONCAP_CONCURRENCY"] == "3"
    assert "REGIONCAP_S3_BUCKET" not in started["env"]


@pytest.mark.parametrize(
    ("flags", "queue"), [([], "caption.of-toml"), (["--queue", "caption.7b"], "caption.7b")]
)
def test_queue_is_the_one_of_the_settings(
    started: dict[str, Any], tmp_path: Path, flags: list[str], queue: str
) -> None:
    (tmp_path / "regioncap.toml").write_text('queue = "caption.of-toml"')

    app(["worker", "caption", *flags], standalone_mode=False, obj={})

    assert started["argv"][started["argv"].index("-Q") + 1] == queue


@pytest.fixture
def locks(tmp_path: Path, monkeypatch: pytest.MonkeyPatch) -> Path:
    """The locks of a machine with two GPUs."""
    monkeypatch.setenv("PATH", put_smi(tmp_path / "bin", TWO_GPUS)["PATH"])
    monkeypatch.setenv("REGIONCAP_GPU_LOCKS", str(tmp_path / "locks"))
    monkeypatch.delenv("CUDA_VISIBLE_DEVICES", raising=False)
    return tmp_path / "locks"


def test_any_gpu_is_the_first_that_no_other_worker_holds(
    started: dict[str, Any], locks: Path, capsys: pytest.CaptureFixture[str]
) -> None:
    for uuid in ("GPU-aaaa-1", "GPU-bbbb-2"):
        run("--engine", "vllm", "--gpus", "any")
        assert started["env"]["CUDA_VISIBLE_DEVICES"] == uuid
        assert str(locks / uuid) in inherited(locks)
    assert "caption-1 has GPU 1 (NVIDIA H200), GPU-bbbb-2" in capsys.readouterr().err

    with pytest.raises(EngineStartError) as refused:
        run("--engine", "vllm", "--gpus", "any")
    assert refused.value.code == "gpu-taken"
    assert f"GPU 0 (NVIDIA H200) is held by process {os.getpid()} (" in refused.value.message


def test_all_gpus_get_a_worker_each(
    locks: Path, monkeypatch: pytest.MonkeyPatch, capsys: pytest.CaptureFixture[str]
) -> None:
    ran: list[Command] = []

    def keep(_: object, commands: list[Command], held: list[int], __: object) -> int:
        assert len(held) == len(commands)
        ran.extend(commands)
        return 7

    monkeypatch.setattr("regioncap.local.side_by_side.run_side_by_side", keep)
    monkeypatch.setenv("REGIONCAP_METRICS_PORT", "9464")
    assert run("--engine", "vllm", "--gpus", "all") == 7

    environments = [command.env or {} for command in ran]
    names = [env["CUDA_VISIBLE_DEVICES"] for env in environments]
    assert names == ["GPU-aaaa-1", "GPU-bbbb-2"]
    assert [env["REGIONCAP_METRICS_PORT"] for env in environments] == ["9464", "9465"]
    assert [command.argv[command.argv.index("-n") + 1] for command in ran] == [
        "caption-1@%h",
        "caption-2@%h",
    ]
    assert all(command.keep_fds for command in ran)
    assert capsys.readouterr().err.splitlines() == [
        "caption-1 has GPU 0 (NVIDIA H200), GPU-aaaa-1",
        "caption-2 has GPU 1 (NVIDIA H200), GPU-bbbb-2",
    ]


@pytest.mark.usefixtures("locks")
def test_an_engine_without_gpus_is_given_none() -> None:
    with pytest.raises(UsageError, match="engine baseline uses no GPU") as refused:
        run("--engine", "baseline", "--gpus", "all")
    assert refused.value.code == "bad-gpus"
