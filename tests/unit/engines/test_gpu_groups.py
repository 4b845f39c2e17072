"""Which worker has which GPUs, and what is left out."""

from __future__ import annotations

import os
import stat
import subprocess
import sys
from pathlib import Path
from typing import Any

import pytest

from regioncap.engines import gpu_locks
from regioncap.engines.gpu_devices import visible_devices
from regioncap.engines.gpu_groups import Choice, Wish, choose, for_workers
from regioncap.errors import EngineStartError, RegionCapError, UsageError
from regioncap.settings import load_settings
from tests.support.gpus import put_smi

FOUR = "".join(
    f"{index}, GPU-{name}, NVIDIA H200, 143771, {free}, 580.65.06, 9.0\n"
    for index, name, free in [
        (0, "aa", 143000),
        (1, "bb", 20000),
        (2, "cc", 143000),
        (3, "dd", 143000),
    ]
)
PROCESSES = "4321, python3 train.py, 120000, GPU-bb\n"
DIVIDED = """\
GPU 0: NVIDIA H200 (UUID: GPU-aa)
  MIG 3g.71gb     Device  0: (UUID: MIG-1111)
  MIG 3g.71gb     Device  1: (UUID: MIG-2222)
GPU 1: NVIDIA H200 (UUID: GPU-bb)
GPU 2: NVIDIA H200 (UUID: GPU-cc)
GPU 3: NVIDIA H200 (UUID: GPU-dd)
"""


@pytest.fixture
def machine(tmp_path: Path) -> dict[str, str]:
    """Four GPUs, of which the second is used by somebody."""
    return put_smi(tmp_path / "bin", FOUR, processes=PROCESSES)


def chosen(environ: dict[str, str], folder: Path, **wish: Any) -> Choice:
    return choose(Wish(locks=folder / "locks", **wish), environ)


def uuids(choice: Choice) -> list[str]:
    return [group.environment["CUDA_VISIBLE_DEVICES"] for group in choice.groups]


def test_each_worker_has_a_gpu_and_one_that_is_used_is_left_out(
    machine: dict[str, str], tmp_path: Path
) -> None:
    choice = chosen(machine, tmp_path)
    assert uuids(choice) == ["GPU-aa", "GPU-cc", "GPU-dd"]
    assert str(choice.groups[1]) == "GPU 2 (NVIDIA H200), GPU-cc"
    assert choice.left_out == [
        "GPU 1 (NVIDIA H200) has 19.5 of 140.4 GiB free, and an engine takes 126.4; used by "
        "process 4321 (python3 train.py, 117.2 GiB)"
    ]


def test_an_engine_that_takes_less_starts_beside_others(
    machine: dict[str, str], tmp_path: Path
) -> None:
    assert "GPU-bb" in uuids(chosen(machine, tmp_path, utilization=0.13))


def test_groups_are_of_the_size_of_the_engine(machine: dict[str, str], tmp_path: Path) -> None:
    choice = chosen(machine, tmp_path, size=2)
    assert uuids(choice) == ["GPU-aa,GPU-cc"]
    assert choice.left_out[1:] == ["GPU 3 (NVIDIA H200) makes no group of 2 (tensor_parallel_size)"]
    # What makes no group is free for others.
    assert uuids(chosen(machine, tmp_path)) == ["GPU-dd"]


@pytest.mark.parametrize(
    ("which", "found"),
    [
        ("any", ["GPU-aa"]),
        ("3, 0", ["GPU-dd", "GPU-aa"]),
        ("0,1", ["GPU-aa"]),
        ("GPU-c", ["GPU-cc"]),
        ("0,0,GPU-aa", ["GPU-aa"]),
    ],
)
def test_gpus_may_be_named(
    machine: dict[str, str], tmp_path: Path, which: str, found: list[str]
) -> None:
    assert uuids(chosen(machine, tmp_path, which=which)) == found


@pytest.mark.parametrize("which", ["7", "0,,2", "GPU-x", "", "alle", "1.0"])
def test_a_gpu_that_is_not_there_is_an_error(
    machine: dict[str, str], tmp_path: Path, which: str
) -> None:
    with pytest.raises(UsageError, match=r"visible are GPU 0 \(NVIDIA H200\), GPU 1") as refused:
        chosen(machine, tmp_path, which=which)
    assert refused.value.code == "bad-gpus"


def test_what_is_hidden_stays_hidden(machine: dict[str, str], tmp_path: Path) -> None:
    machine["CUDA_VISIBLE_DEVICES"] = "3,GPU-cc"
    assert uuids(chosen(machine, tmp_path)) == ["GPU-dd", "GPU-cc"]
    with pytest.raises(UsageError, match="visible are GPU 3"):
        chosen(machine, tmp_path, which="0")
    machine["CUDA_VISIBLE_DEVICES"] = ""
    with pytest.raises(EngineStartError) as refused:
        chosen(machine, tmp_path)
    assert refused.value.code == "gpu-missing"


def test_parts_of_a_gpu_get_a_worker_each(tmp_path: Path) -> None:
    apps = PROCESSES + "77, python3, 2000, MIG-2222\n"
    machine = put_smi(tmp_path / "bin", FOUR, processes=apps, listing=DIVIDED)
    choice = chosen(machine, tmp_path, which="0,2")
    assert uuids(choice) == ["MIG-1111", "GPU-cc"]
    assert choice.left_out == [
        "MIG 3g.71gb of GPU 0 (NVIDIA H200) is used by process 77 (python3, 2.0 GiB)"
    ]
    with pytest.raises(UsageError, match="parts of GPUs"):
        chosen(machine, tmp_path, size=2)


@pytest.mark.parametrize(
    ("visible", "found"),
    [
        ("MIG-2222,MIG-1111", ["MIG-2222", "MIG-1111"]),
        ("MIG-unheard", ["MIG-unheard"]),
        ("0,1", ["MIG-1111", "GPU-bb"]),
        ("GPU-aa", ["MIG-1111"]),
        ("1,9,2", ["GPU-bb"]),
    ],
)
def test_parts_that_are_visible(tmp_path: Path, visible: str, found: list[str]) -> None:
    machine = put_smi(tmp_path / "bin", FOUR, listing=DIVIDED) | {"CUDA_VISIBLE_DEVICES": visible}
    assert [device.uuid for device in visible_devices(machine)] == found


def test_a_lock_lives_as_long_as_who_holds_it(machine: dict[str, str], tmp_path: Path) -> None:
    first = chosen(machine, tmp_path, which="0,2")
    holder = subprocess.Popen(
        [sys.executable, "-c", "input()"], stdin=subprocess.PIPE, pass_fds=first.groups[0].locks
    )
    for group in first.groups:
        group.close()

    second = chosen(machine, tmp_path, which="0,2")
    assert uuids(second) == ["GPU-cc"]
    assert "GPU 0 (NVIDIA H200) is held by" in second.left_out[0]

    holder.kill()
    holder.communicate()
    assert uuids(chosen(machine, tmp_path, which="0,2")) == ["GPU-aa"]


def test_where_all_are_taken_the_error_names_who_holds_them(
    machine: dict[str, str], tmp_path: Path
) -> None:
    held = chosen(machine, tmp_path)
    with pytest.raises(EngineStartError) as refused:
        chosen(machine, tmp_path)
    assert refused.value.code == "gpu-taken"
    assert f"GPU 3 (NVIDIA H200) is held by process {os.getpid()} (" in refused.value.message
    assert "used by process 4321 (python3 train.py" in refused.value.message
    assert "gpu_memory_utilization" in refused.value.hint
    assert len(held.groups) == 3


def test_the_folder_of_locks_is_for_all_users(tmp_path: Path) -> None:
    mask = os.umask(0o077)
    try:
        lock = gpu_locks.take(tmp_path / "locks", "MIG-GPU-a/1/0")
    finally:
        os.umask(mask)
    assert lock is not None
    assert stat.S_IMODE((tmp_path / "locks").stat().st_mode) == 0o1777
    assert stat.S_IMODE((tmp_path / "locks" / "MIG-GPU-a_1_0").stat().st_mode) & 0o444 == 0o444
    assert gpu_locks.take(tmp_path / "locks", "MIG-GPU-a/1/0") is None


def test_a_folder_of_locks_that_cannot_be_used_is_named(tmp_path: Path) -> None:
    (tmp_path / "locks").write_text("a file")
    with pytest.raises(RegionCapError, match="Not a directory") as refused:
        gpu_locks.take(tmp_path / "locks", "GPU-a")
    assert refused.value.code == "gpu-locks"


def test_workers_of_other_engines_are_bound_to_nothing(
    machine: dict[str, str], tmp_path: Path
) -> None:
    assert for_workers(load_settings(engine="baseline"), environ=machine) is None
    vllm = load_settings(engine="vllm", gpu_locks=tmp_path / "locks")
    assert for_workers(vllm, environ={"PATH": "/nowhere"}) is None
    with pytest.raises(EngineStartError, match="no GPU is visible"):
        for_workers(vllm, "all", environ={"PATH": "/nowhere"})


def test_workers_have_gpus_by_the_settings(machine: dict[str, str], tmp_path: Path) -> None:
    settings = load_settings(
        engine="vllm",
        gpu_locks=tmp_path / "locks",
        engine_args={"tensor-parallel-size": 2, "gpu-memory-utilization": 0.1},
    )
    choice = for_workers(settings, most=1, environ=machine)
    assert choice is not None
    assert uuids(choice) == ["GPU-aa,GPU-bb"]
