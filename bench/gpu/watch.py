"""What a run takes of the machine: processor time of each process, and use and power of the GPU."""

from __future__ import annotations

import os
import shutil
import subprocess
import threading
import time
from collections import defaultdict
from collections.abc import Mapping
from contextlib import suppress
from statistics import mean
from typing import Any, Self

import psutil

SAMPLE_S = 0.5
_QUERY = "utilization.gpu,power.draw"


class Watch:
    """Measures while its block runs; `found` holds the figures afterwards.

    Args:
        roots: Processes by what they are; their children count with them, but for the engine's.
    """

    def __init__(self, roots: Mapping[str, int]) -> None:
        self._roots = roots
        self._gpu = _GpuSampler()
        self.found: dict[str, Any] = {}

    def __enter__(self) -> Self:
        self._before, self._started = processor_s(self._roots), time.perf_counter()
        self._gpu.start()
        return self

    def __exit__(self, *_: object) -> None:
        seconds = time.perf_counter() - self._started
        after = processor_s(self._roots)
        self.found = {
            "watched_s": seconds,
            "processor_s": {name: after[name] - self._before.get(name, 0.0) for name in after},
            "gpu": self._gpu.end(),
        }


def processor_s(roots: Mapping[str, int]) -> dict[str, float]:
    """Processor time so far of processes and of what they started, in seconds.

    The engine's core and its workers are processes of their own in this list.
    """
    spent: defaultdict[str, float] = defaultdict(float)
    for name, pid in roots.items():
        root = psutil.Process(pid)
        times = root.cpu_times()
        spent[name] += times.user + times.system
        if pid == os.getpid():
            continue  # what this process started is listed by itself
        spent[name] += times.children_user + times.children_system
        for child in root.children(recursive=True):
            with suppress(psutil.NoSuchProcess):
                times = child.cpu_times()
                spent[_part(name, child.name())] += times.user + times.system
    return dict(spent)


def _part(root: str, child: str) -> str:
    if "EngineCor" in child:  # the kernel keeps 15 letters of a name
        return "engine core"
    return "engine worker" if "VLLM::Worker" in child else root


class _GpuSampler(threading.Thread):
    """Asks the driver at intervals; sees nothing where there is none."""

    def __init__(self) -> None:
        super().__init__(daemon=True)
        self._command = shutil.which("nvidia-smi")
        self._ended = threading.Event()
        self._samples: list[tuple[float, float]] = []

    def run(self) -> None:
        while self._command and not self._ended.wait(SAMPLE_S):
            done = subprocess.run(
                [self._command, f"--query-gpu={_QUERY}", "--format=csv,noheader,nounits"],
                capture_output=True, text=True, timeout=30, check=False,
            )  # fmt: skip
            with suppress(ValueError, IndexError):  # "[N/A]", or an error in words
                use, power = done.stdout.splitlines()[0].split(",")
                self._samples.append((float(use), float(power)))

    def end(self) -> dict[str, float] | None:
        """Means of the first GPU's use (%) and power (W); None if nothing was seen."""
        self._ended.set()
        self.join()
        if not self._samples:
            return None
        use, power = zip(*self._samples, strict=True)
        return {"use_percent": mean(use), "power_w": mean(power), "samples": len(use)}
