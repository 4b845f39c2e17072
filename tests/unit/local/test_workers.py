"""Workers beside the embedded stack: which are started, and with which GPUs."""

from __future__ import annotations

import sys
from collections.abc import Iterator
from pathlib import Path

import pytest

from regioncap.errors import EngineStartError
from regioncap.local import Child, LocalStack, Supervisor, workers
from regioncap.running_stack import find_stack, try_lock
from regioncap.settings import Settings, load_settings
from tests.support.gpus import TWO_GPUS, put_smi


@pytest.fixture
def stack(tmp_path: Path, monkeypatch: pytest.MonkeyPatch) -> Iterator[LocalStack]:
    """A stack without servers, on a machine with two GPUs; its workers only say who they are."""
    code = "import os; print(os.environ.get('CUDA_VISIBLE_DEVICES', 'none'), flush=True)"

    def command(kind: str, _: object) -> list[str]:
        return [sys.executable, "-c", f"{code}; print('{kind}', flush=True)"]

    def wait(_: object, __: object, children: list[Child]) -> None:
        for child in children:
            assert child.join(30)

    monkeypatch.setattr(workers, "celery_command", command)
    monkeypatch.setattr(workers, "_wait", wait)
    monkeypatch.setenv("PATH", put_smi(tmp_path / "bin", TWO_GPUS)["PATH"])
    monkeypatch.delenv("CUDA_VISIBLE_DEVICES", raising=False)
    stack = LocalStack(tmp_path / "stack")
    monkeypatch.setattr(LocalStack, "settings", lambda _: {})
    with Supervisor(tmp_path / "logs") as stack.supervisor:
        yield stack


@pytest.fixture
def vllm(tmp_path: Path) -> Settings:
    return load_settings(engine="vllm", gpu_locks=tmp_path / "locks")


def said(stack: LocalStack) -> dict[str, list[str]]:
    assert stack.supervisor is not None
    children = stack.supervisor.children
    return {child.command.name: child.log_tail().splitlines() for child in children}


def test_a_worker_on_each_gpu_unless_told_otherwise(stack: LocalStack, vllm: Settings) -> None:
    told = workers.start_workers(stack, vllm, render=1, caption=None)
    assert said(stack) == {
        "render-1": ["none", "render"],
        "caption-2": ["GPU-aaaa-1", "caption"],
        "caption-3": ["GPU-bbbb-2", "caption"],
    }
    assert told == [
        "caption-2 has GPU 0 (NVIDIA H200), GPU-aaaa-1",
        "caption-3 has GPU 1 (NVIDIA H200), GPU-bbbb-2",
    ]


def test_one_worker_takes_one_gpu(stack: LocalStack, vllm: Settings) -> None:
    workers.start_workers(stack, vllm, render=0, caption=1, gpus="1,0")
    assert said(stack) == {"caption-1": ["GPU-bbbb-2", "caption"]}


def test_more_workers_than_gpus_are_refused(stack: LocalStack, vllm: Settings) -> None:
    with pytest.raises(EngineStartError, match=r"3 caption .* for 2") as refused:
        workers.start_workers(stack, vllm, caption=3)
    assert refused.value.code == "gpu-taken"
    assert said(stack) == {}


def test_without_a_model_no_gpu_is_taken(stack: LocalStack, tmp_path: Path) -> None:
    baseline = load_settings(engine="baseline", gpu_locks=tmp_path / "locks")
    assert workers.start_workers(stack, baseline, render=0, caption=None) == []
    assert said(stack) == {"caption-1": ["none", "caption"]}
    assert not (tmp_path / "locks").exists()


def test_a_stack_tells_which_workers_are_starting(
    stack: LocalStack, monkeypatch: pytest.MonkeyPatch
) -> None:
    def told() -> tuple[str, ...]:
        found = find_stack(stack.folder)
        assert found is not None
        return found.starting

    meanwhile = []
    monkeypatch.setattr(workers, "_wait", lambda *_: meanwhile.append(told()))
    stack.folder.mkdir()
    monkeypatch.setattr(stack, "_lock", try_lock(stack.folder / "stack.lock"))
    for render, caption in (1, 1), (0, 2), (1, 0):
        workers.start_workers(stack, load_settings(queue="caption.night"), render, caption)
        assert told() == ()

    assert meanwhile == [("render", "caption.night"), ("caption.night",), ("render",)]
