"""The GPU side of this machine: what is there, and whether an engine can start on it.

Asks `nvidia-smi` and the file system alone, so that it runs without torch and without touching a
GPU, before an engine starts and in `regioncap doctor`.
"""

from __future__ import annotations

import logging
import os
import re
import shutil
import subprocess
from collections.abc import Mapping, Sequence
from dataclasses import dataclass
from pathlib import Path

from regioncap.errors import EngineStartError

_GIB = 1 << 30
_MIB = 1 << 20
_QUERY = "index,uuid,name,memory.total,memory.free,driver_version,compute_cap"
_CSV = "--format=csv,noheader,nounits"
#: A driver that hangs answers nobody.
_DRIVER_TIMEOUT_S = 60.0
_APPS_QUERY = "pid,process_name,used_gpu_memory,gpu_uuid"
#: How vLLM names its processes.
_ENGINE = "VLLM::"

_log = logging.getLogger(__name__)


@dataclass(frozen=True, slots=True)
class Gpu:
    """A GPU as the driver tells of it."""

    index: int
    uuid: str
    name: str
    total_bytes: int
    free_bytes: int
    driver: str
    compute_capability: str


@dataclass(frozen=True, slots=True)
class Orphan:
    """An engine whose worker is gone, and that still holds a GPU."""

    pid: int
    name: str
    used_bytes: int
    #: Of the GPU.
    uuid: str

    def __str__(self) -> str:
        return (
            f"process {self.pid} ({self.name}) holds {self.used_bytes / _GIB:.1f} GiB of a GPU, "
            "and the worker that started it is gone"
        )


@dataclass(frozen=True, slots=True)
class GpuProcess:
    """A process that computes on a GPU, as the driver tells of it."""

    pid: int
    name: str
    used_bytes: int
    #: Of the GPU, or of its part (MIG).
    uuid: str

    def __str__(self) -> str:
        return f"process {self.pid} ({self.name}, {self.used_bytes / _GIB:.1f} GiB)"


def visible_gpus(environ: Mapping[str, str] = os.environ) -> list[Gpu]:
    """The GPUs that an engine started now would use, in its order; none if there is no driver.

    Raises:
        EngineStartError: `gpu-driver`, when the driver is installed and does not answer.
    """
    return _select(all_gpus(environ), environ.get("CUDA_VISIBLE_DEVICES"))


def gpu_names(environ: Mapping[str, str] = os.environ) -> list[str]:
    """The names of the visible GPUs; none where the driver does not tell."""
    try:
        return [gpu.name for gpu in visible_gpus(environ)]
    except EngineStartError:
        return []


def all_gpus(environ: Mapping[str, str] = os.environ) -> list[Gpu]:
    """The GPUs of this machine, whatever CUDA_VISIBLE_DEVICES says.

    Raises:
        EngineStartError: As `visible_gpus`.
    """
    done = ask_driver(environ, f"--query-gpu={_QUERY}", _CSV)
    if done is None:
        return []
    if done.returncode != 0:
        said = (done.stdout + done.stderr).strip().splitlines() or ["nothing"]
        raise _no_answer(f"failed: {said[0]}")
    try:
        return parse_gpus(done.stdout)
    except ValueError as error:
        raise _no_answer(f"says what is no list of GPUs: {done.stdout.strip()[:200]}") from error


def gpu_processes(environ: Mapping[str, str] = os.environ) -> list[GpuProcess]:
    """The processes that compute on this machine's GPUs; as far as can be seen.

    In a container the driver may name processes by numbers of the machine's, or none at all.
    """
    try:
        done = ask_driver(environ, f"--query-compute-apps={_APPS_QUERY}", _CSV)
    except EngineStartError:
        return []
    found = []
    for line in done.stdout.strip().splitlines() if done and done.returncode == 0 else ():
        if match := re.fullmatch(r"(\d+), *(.*), *([^,]*), *([^,]*)", line.strip()):
            found.append(GpuProcess(int(match[1]), match[2], _mib(match[3]), match[4]))
    return found


def orphans(gpus: Sequence[Gpu], environ: Mapping[str, str] = os.environ) -> list[Orphan]:
    """Engines that hold one of these GPUs though their workers are gone; as far as can be seen."""
    found = []
    for process in gpu_processes(environ):
        if process.uuid not in {gpu.uuid for gpu in gpus}:
            continue
        title = _title(process.pid)
        name = title if title.startswith(_ENGINE) else process.name
        if name.startswith(_ENGINE) and _is_left_over(process.pid):
            found.append(Orphan(process.pid, name, process.used_bytes, process.uuid))
    return found


def logged_orphans(gpus: Sequence[Gpu], environ: Mapping[str, str] = os.environ) -> list[Orphan]:
    """As `orphans`, and says of each what to do."""
    found = orphans(gpus, environ)
    for orphan in found:
        _log.warning("%s; end it: %s", orphan, kill_command([orphan]))
    return found


def _title(pid: int) -> str:
    try:
        return Path(f"/proc/{pid}/cmdline").read_bytes().partition(b"\0")[0].decode().strip()
    except (OSError, UnicodeDecodeError):
        return ""


def _is_left_over(pid: int) -> bool:
    """Whether the process that started a process is gone: its parent is then no Python."""
    try:
        status = Path(f"/proc/{pid}/status").read_text("utf-8")
        parent = re.search(r"(?m)^PPid:\s*(\d+)", status)
        return parent is not None and "python" not in Path(f"/proc/{parent[1]}/exe").readlink().name
    except PermissionError:
        return True  # the parent is another user's: the system's first process
    except OSError:
        return False  # it has ended, or is not of this container


def ask_driver(
    environ: Mapping[str, str], *arguments: str
) -> subprocess.CompletedProcess[str] | None:
    """What `nvidia-smi` says to some arguments; None if it is not there.

    Raises:
        EngineStartError: `gpu-driver`: It cannot be run, or does not end.
    """
    if (command := shutil.which("nvidia-smi", path=environ.get("PATH"))) is None:
        return None
    try:
        return subprocess.run(  # noqa: S603  # the driver's own tool, no user input
            [command, *arguments],
            capture_output=True,
            text=True,
            errors="replace",
            timeout=_DRIVER_TIMEOUT_S,
            check=False,
        )
    except subprocess.TimeoutExpired as error:
        raise _no_answer(f"did not answer within {_DRIVER_TIMEOUT_S:g} s") from error
    except OSError as error:
        raise _no_answer(f"cannot be run: {error.strerror or error}") from error


def _no_answer(how: str) -> EngineStartError:
    return EngineStartError(
        f"nvidia-smi {how}",
        code="gpu-driver",
        hint="install or reload the NVIDIA driver; in a container, start it with --gpus all",
    )


def parse_gpus(text: str) -> list[Gpu]:
    """Reads what `nvidia-smi --query-gpu` prints: one GPU a line, memory in MiB."""
    gpus = []
    for line in text.strip().splitlines():
        index, uuid, name, total, free, driver, capability = (x.strip() for x in line.split(","))
        gpus.append(Gpu(int(index), uuid, name, _mib(total), _mib(free), driver, capability))
    return gpus


def check_memory(
    gpus: Sequence[Gpu],
    *,
    weights_bytes: int,
    utilization: float,
    tensor_parallel_size: int,
    left_over: Sequence[Orphan] = (),
) -> None:
    """Checks that the GPUs have room for the model.

    Args:
        gpus: The visible GPUs in order; the first `tensor_parallel_size` are used.
        weights_bytes: Size of the whole model's weights.
        utilization: The part of each GPU's memory that vLLM takes (`gpu_memory_utilization`).
        tensor_parallel_size: Among how many GPUs the weights are split.
        left_over: What holds memory for nobody, to be named in an error.

    Raises:
        EngineStartError: `gpu-missing` or `memory-short`.
    """
    if len(gpus) < tensor_parallel_size:
        raise EngineStartError(
            f"{len(gpus)} GPUs are visible, and tensor_parallel_size is {tensor_parallel_size}",
            code="gpu-missing",
            hint="check nvidia-smi and CUDA_VISIBLE_DEVICES, lower tensor_parallel_size, or use "
            "--engine openai (a server elsewhere) or --engine baseline (no model)",
        )
    share_bytes = weights_bytes / tensor_parallel_size
    for gpu in gpus[:tensor_parallel_size]:
        if not gpu.total_bytes:
            continue  # memory shared with the CPU: the driver does not tell
        wanted_bytes = gpu.total_bytes * utilization
        if share_bytes >= wanted_bytes:
            raise EngineStartError(
                f"the model's weights take {share_bytes / _GIB:.1f} GiB of each GPU, and GPU "
                f"{gpu.index} ({gpu.name}) gives {wanted_bytes / _GIB:.1f} GiB",
                code="memory-short",
                hint="use a smaller or quantized model, or a larger tensor_parallel_size",
            )
        if gpu.free_bytes < wanted_bytes:
            held = [orphan for orphan in left_over if orphan.uuid == gpu.uuid]
            fits = int(100 * gpu.free_bytes / gpu.total_bytes) / 100
            raise EngineStartError(
                f"GPU {gpu.index} ({gpu.name}) has {gpu.free_bytes / _GIB:.1f} GiB free, and vLLM "
                f"is to take {wanted_bytes / _GIB:.1f} GiB of it"
                + "".join(f"; {orphan}" for orphan in held),
                code="memory-short",
                hint=kill_command(held)
                if held
                else "end what else uses the GPU (nvidia-smi lists it), take one that is free with "
                f"--gpus any, or set gpu_memory_utilization to at most {fits}",
            )


def kill_command(left_over: Sequence[Orphan]) -> str:
    """What to type to end them; empty if there are none."""
    return f"kill -9 {' '.join(str(orphan.pid) for orphan in left_over)}" if left_over else ""


def _select(gpus: list[Gpu], visible: str | None) -> list[Gpu]:
    """Applies CUDA_VISIBLE_DEVICES: indices or UUIDs; what follows an unknown one is hidden."""
    if visible is None or visible.startswith("MIG-"):
        return gpus  # nvidia-smi does not say which GPU a part is of
    chosen: list[Gpu] = []
    for name in filter(None, (part.strip() for part in visible.split(","))):
        match = [g for g in gpus if str(g.index) == name or g.uuid.startswith(name)]
        if not match:
            break
        chosen.append(match[0])
    return chosen


def _mib(text: str) -> int:
    # Boards with memory shared with the CPU answer "[N/A]".
    return int(float(text) * _MIB) if re.fullmatch(r"[\d.]+", text) else 0
