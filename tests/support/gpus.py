"""Machines with GPUs, as `nvidia-smi` tells of them."""

from __future__ import annotations

import shlex
from pathlib import Path

#: Two of which nobody uses anything.
TWO_GPUS = (
    "0, GPU-aaaa-1, NVIDIA H200, 143771, 143000, 580.65.06, 9.0\n"
    "1, GPU-bbbb-2, NVIDIA H200, 143771, 143000, 580.65.06, 9.0\n"
)


def put_smi(
    folder: Path, gpus: str, *, processes: str = "", listing: str = "", status: int = 0
) -> dict[str, str]:
    """Puts an `nvidia-smi` into a folder; returns an environment that finds no other.

    Args:
        folder: Made if it is missing.
        gpus: What it says when asked for GPUs.
        processes: When asked for the processes on them.
        listing: To `-L`.
        status: Its exit status.
    """
    folder.mkdir(exist_ok=True)
    command = folder / "nvidia-smi"
    cases = {"*apps*": processes, "-L": listing, "*": gpus}
    said = "".join(f"{case}) printf %s {shlex.quote(text)};;\n" for case, text in cases.items())
    command.write_text(f"#!/bin/sh\ncase $1 in\n{said}esac\nexit {status}\n")
    command.chmod(0o755)
    return {"PATH": str(folder)}
