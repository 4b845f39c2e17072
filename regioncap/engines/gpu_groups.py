"""Which worker has which GPUs: one each, or as many as its engine is split among.

A device that another worker holds (its lock) or whose memory other processes use is left out, with
the reason. Devices are bound by UUID: CUDA may count them in another order than the driver.
"""

from __future__ import annotations

import os
import shutil
from collections.abc import Mapping, Sequence
from dataclasses import dataclass
from pathlib import Path

from regioncap.engines import argument, gpu_locks, gpus
from regioncap.engines.cpu import is_built_for_cpu
from regioncap.engines.gpu import GpuProcess, gpu_processes, kill_command, orphans
from regioncap.engines.gpu_devices import Device, visible_devices
from regioncap.engines.vllm_start import default_utilization
from regioncap.errors import EngineStartError, UsageError
from regioncap.settings import Settings

_GIB = 1 << 30
ALL, ANY = "all", "any"


@dataclass(frozen=True, slots=True)
class GpuGroup:
    """The devices of one worker, locked for as long as the descriptors are open."""

    devices: tuple[Device, ...]
    locks: tuple[int, ...]

    @property
    def environment(self) -> dict[str, str]:
        """What binds a process to them."""
        return {"CUDA_VISIBLE_DEVICES": ",".join(device.uuid for device in self.devices)}

    def close(self) -> None:
        """Gives this process's hold on the locks back; a child that inherited them keeps them."""
        for lock in self.locks:
            os.close(lock)

    def __str__(self) -> str:
        return ", ".join(f"{device.name}, {device.uuid}" for device in self.devices)


@dataclass(frozen=True, slots=True)
class Choice:
    """What there is to start workers on."""

    groups: list[GpuGroup]
    #: Each device that is not used, and why, in words.
    left_out: list[str]


@dataclass(frozen=True, slots=True)
class Wish:
    """What is wanted of the devices here."""

    #: `all`, `any` (the first group that is free), or numbers and UUIDs with commas between them.
    which: str = ALL
    #: Devices of one worker.
    size: int = 1
    #: Most workers.
    most: int | None = None
    #: The part of each GPU's memory that its engine takes.
    utilization: float = 0.9
    locks: Path = Path()


def for_workers(
    settings: Settings,
    which: str | None = None,
    most: int | None = None,
    environ: Mapping[str, str] = os.environ,
) -> Choice | None:
    """The devices of the caption workers that these settings ask for on this machine.

    Args:
        settings: Those of the workers.
        which: As in `Wish`; by default all, where there are any.
        most: Likewise.
        environ: Of this process.

    Returns:
        None where nothing is to be bound: the engine uses no GPU of this machine, or there is no
        driver to ask and no GPU was named; the engine itself then says what it lacks.

    Raises:
        UsageError: As `choose`; or GPUs are named for an engine that uses none (`bad-gpus`).
        EngineStartError: As `choose`.
    """
    if settings.engine != "vllm" or is_built_for_cpu():
        if which is None:
            return None
        what = "vLLM for CPUs" if settings.engine == "vllm" else f"the engine {settings.engine}"
        raise UsageError(
            f"{what} uses no GPU here, and --gpus names {which}",
            code="bad-gpus",
            hint="leave --gpus out, or give --engine vllm with a vLLM that is built for CUDA",
        )
    if which is None and shutil.which("nvidia-smi", path=environ.get("PATH")) is None:
        return None
    given = argument(settings, "gpu_memory_utilization", None)
    utilization = default_utilization() if given is None else float(given)
    wish = Wish(which or ALL, gpus(settings), most, utilization, settings.gpu_locks)
    return choose(wish, environ)


def choose(wish: Wish, environ: Mapping[str, str] = os.environ) -> Choice:
    """Chooses devices for workers and locks them.

    Raises:
        UsageError: `bad-gpus`, for one that is not there or cannot be used so.
        EngineStartError: `gpu-missing` or `gpu-taken` if there is none to start on; or as
            `visible_devices` and `gpu_locks.take`.
    """
    devices = _wished(wish.which, visible_devices(environ))
    if not devices:
        raise EngineStartError(
            "no GPU is visible",
            code="gpu-missing",
            hint="check nvidia-smi and CUDA_VISIBLE_DEVICES (in a container: --gpus all), or use"
            " --engine openai (a server elsewhere) or --engine baseline (no model)",
        )
    if wish.size > 1 and any(device.is_part for device in devices):
        raise UsageError(
            f"an engine on {wish.size} GPUs cannot be put together from parts of GPUs (MIG)",
            code="bad-gpus",
            hint="set tensor_parallel_size to 1, or name whole GPUs",
        )
    most = 1 if wish.which == ANY else wish.most
    wanted = len(devices) if most is None else most * wish.size
    free, left_out = _lock(devices, wanted, wish, environ)
    whole = len(free) - len(free) % wish.size
    groups = [_group(free[start : start + wish.size]) for start in range(0, whole, wish.size)]
    for device, lock in free[whole:]:
        os.close(lock)
        left_out.append(f"{device.name} makes no group of {wish.size} (tensor_parallel_size)")
    if not groups:
        raise EngineStartError(
            f"no GPU is free for a worker: {'; '.join(left_out)}",
            code="gpu-taken",
            hint=_remedy(devices, environ),
        )
    return Choice(groups, left_out)


def _wished(which: str, devices: Sequence[Device]) -> list[Device]:
    if which in {ALL, ANY} or not devices:
        return list(devices)
    wished: list[Device] = []
    for name in (part.strip() for part in which.split(",")):
        found = [device for device in devices if name and device.is_called(name)]
        if not found:
            there = ", ".join(device.name for device in devices)
            raise UsageError(
                f"--gpus names {name!r}, and visible are {there}",
                code="bad-gpus",
                hint="give all, any, or numbers or UUIDs as nvidia-smi -L has them, such as 0,2",
            )
        wished += [device for device in found if device not in wished]
    return wished


def _lock(
    devices: Sequence[Device], wanted: int, wish: Wish, environ: Mapping[str, str]
) -> tuple[list[tuple[Device, int]], list[str]]:
    processes = gpu_processes(environ)
    free: list[tuple[Device, int]] = []
    left_out: list[str] = []
    for device in devices:
        if len(free) == wanted:
            break
        lock = gpu_locks.take(wish.locks, device.uuid)
        if lock is None:
            by = gpu_locks.holder(wish.locks, device.uuid)
            left_out.append(f"{device.name} is held by {by}")
        elif used := _in_use(device, processes, wish.utilization):
            os.close(lock)
            left_out.append(used)
        else:
            free.append((device, lock))
    return free, left_out


def _in_use(device: Device, processes: Sequence[GpuProcess], utilization: float) -> str:
    """What of a device's memory others use, if that is too much, in words."""
    there = [str(process) for process in processes if process.uuid == device.uuid]
    by = ", ".join(there) or "processes that the driver does not name"
    if device.is_part:
        # How much of a part is free the driver does not tell.
        return f"{device.name} is used by {by}" if there else ""
    gpu = device.gpu
    if gpu is None or gpu.free_bytes >= gpu.total_bytes * utilization:
        return ""
    return (
        f"{device.name} has {gpu.free_bytes / _GIB:.1f} of {gpu.total_bytes / _GIB:.1f} GiB free, "
        f"and an engine takes {gpu.total_bytes * utilization / _GIB:.1f}; used by {by}"
    )


def _remedy(devices: Sequence[Device], environ: Mapping[str, str]) -> str:
    left_over = orphans([device.gpu for device in devices if device.gpu is not None], environ)
    if left_over:
        return f"end what a worker that is gone left behind: {kill_command(left_over)}"
    return (
        "end what holds them, or wait for it; for a smaller part of a GPU lower"
        " gpu_memory_utilization in engine_args"
    )


def _group(members: Sequence[tuple[Device, int]]) -> GpuGroup:
    return GpuGroup(tuple(device for device, _ in members), tuple(lock for _, lock in members))
