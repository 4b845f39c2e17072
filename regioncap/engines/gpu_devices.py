"""The devices that an engine can be bound to: GPUs, and parts of GPUs (MIG)."""

from __future__ import annotations

import os
import re
from collections.abc import Mapping, Sequence
from dataclasses import dataclass

from regioncap.engines.gpu import Gpu, all_gpus, ask_driver

_GPU_LINE = re.compile(r"GPU \d+: .*\(UUID: (GPU-[^)]+)\)")
_PART_LINE = re.compile(r"\s+MIG (\S+)\s+Device\s+\d+: \(UUID: (MIG-[^)]+)\)")


@dataclass(frozen=True, slots=True)
class Device:
    """What CUDA_VISIBLE_DEVICES can name."""

    uuid: str
    #: For people.
    name: str
    #: The GPU that it is, or that it is a part of; None if the driver does not say.
    gpu: Gpu | None
    is_part: bool = False

    def is_called(self, name: str) -> bool:
        """Whether a user may mean this one: by its number, or the beginning of its UUID."""
        if self.uuid.startswith(name) and name.startswith(("GPU-", "MIG-")):
            return True
        return self.gpu is not None and (
            str(self.gpu.index) == name or (name.startswith("GPU-") and name in self.gpu.uuid)
        )


def visible_devices(environ: Mapping[str, str] = os.environ) -> list[Device]:
    """The devices that may be used here, in order; none if there is no driver.

    A GPU that is divided stands for its parts. CUDA_VISIBLE_DEVICES is obeyed, as CUDA does: what
    follows an unknown name is hidden, and a divided GPU's number means its first part.

    Raises:
        EngineStartError: As `visible_gpus`.
    """
    gpus = all_gpus(environ)
    parts = _parts(gpus, environ)
    devices = [device for gpu in gpus for device in parts.get(gpu.uuid) or [_whole(gpu)]]
    visible = environ.get("CUDA_VISIBLE_DEVICES")
    if visible is None or not gpus:
        return devices
    chosen: list[Device] = []
    for name in filter(None, (part.strip() for part in visible.split(","))):
        device = next((each for each in devices if each.is_called(name)), None)
        if device is None and name.startswith("MIG-"):
            device = Device(name, name, gpu=None, is_part=True)
        if device is None:
            break
        chosen.append(device)
    return chosen


def _whole(gpu: Gpu) -> Device:
    return Device(gpu.uuid, f"GPU {gpu.index} ({gpu.name})", gpu)


def _parts(gpus: Sequence[Gpu], environ: Mapping[str, str]) -> dict[str, list[Device]]:
    """The parts of divided GPUs, by the UUID of the GPU."""
    known = {gpu.uuid: gpu for gpu in gpus}
    done = ask_driver(environ, "-L") if gpus else None
    parts: dict[str, list[Device]] = {}
    gpu: Gpu | None = None
    for line in done.stdout.splitlines() if done and done.returncode == 0 else ():
        if whole := _GPU_LINE.match(line):
            gpu = known.get(whole[1])
        elif (part := _PART_LINE.match(line)) and gpu is not None:
            name = f"MIG {part[1]} of GPU {gpu.index} ({gpu.name})"
            parts.setdefault(gpu.uuid, []).append(Device(part[2], name, gpu, is_part=True))
    return parts
