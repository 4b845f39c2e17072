"""How fast this machine multiplies matrices through PyTorch: `python -m bench.gpu.matrix`.

Prints one line of JSON. The median of some products of random bfloat16 matrices: what a large model
could reach at best here, whatever the data sheet says.
"""

from __future__ import annotations

import json
import time
from statistics import median
from typing import Any

from bench import as_command

SIDES = {"cuda": 8192, "cpu": 1024}
ROUNDS = 20


def measure() -> dict[str, Any]:
    """The rate in TFLOP/s, and what it was measured with."""
    import torch

    device = "cuda" if torch.cuda.is_available() else "cpu"
    side = SIDES[device]
    left, right = (torch.randn(side, side, device=device).to(torch.bfloat16) for _ in range(2))
    seconds = []
    for _ in range(ROUNDS + 3):
        _wait(torch, device)
        started = time.perf_counter()
        left @ right
        _wait(torch, device)
        seconds.append(time.perf_counter() - started)
    return {
        "device": device,
        "name": torch.cuda.get_device_name() if device == "cuda" else "",
        "cuda": torch.version.cuda,
        "side": side,
        "tflops": 2 * side**3 / median(seconds[3:]) / 1e12,
    }


def _wait(torch: Any, device: str) -> None:
    if device == "cuda":
        torch.cuda.synchronize()


if __name__ == "__main__":
    as_command(lambda: print(json.dumps(measure())))
